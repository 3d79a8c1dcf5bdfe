"""Courses that keep large answers, on their way to disk: in parts, one course after the other.

In one commit a course would hold up every other write for as long as the disk takes for all its bytes, and
for those that it takes the place of, which are written over.
"""

import asyncio
import functools
import logging
import sqlite3

from msgspec import Struct

from orchestrator.adapters.sqlite import course_parts
from orchestrator.adapters.sqlite.course_notes import CourseNote
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.result_parts import PART_BYTES, parts_of
from orchestrator.domain.ids import JobId
from orchestrator.ports.store import StoreFailure

log = logging.getLogger(__name__)


class _Order(Struct):
    """What is to become of a job's course on disk, and who waits for it. Without a note only parts go."""

    note: CourseNote | None
    waiting: "list[asyncio.Future[None]]"

    def done(self) -> None:
        """It was carried out."""
        for written in self._still_waiting():
            written.set_result(None)

    def failed(self, error: Exception) -> None:
        """It was not: whoever waits for it hears of it, or else the log."""
        still_waiting = self._still_waiting()
        if not still_waiting:
            log.error("how far a job is could not be written: %s", error)
        for written in still_waiting:
            written.set_exception(error)

    def _still_waiting(self) -> "list[asyncio.Future[None]]":
        return [written for written in self.waiting if not written.done()]


class LargeCourses:
    """Writes the latest course of each job, and has one of all in memory, sealed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders: dict[JobId, _Order] = {}
        self._at_work: JobId | None = None
        self._in_parts = database.jobs_in_parts
        """Who may have parts on disk."""
        self._work: asyncio.Task[None] | None = None
        self._closing = False

    def has(self, job_id: JobId) -> bool:
        """Whether a job's next course, however small, has to come this way: behind another, or in the place
        of one in parts.
        """
        return job_id in self._orders or job_id == self._at_work or job_id in self._in_parts

    def put(self, note: CourseNote) -> None:
        """Take a note in place of an earlier one of its job that still waits."""
        self._order(note.job_id, note)

    async def write(self, note: CourseNote) -> None:
        """Write a note, or a later one of its job, and return once it is committed.

        Raises:
            StoreFailure: The store is closed.
            sqlite3.Error: It could not be written.
        """
        if self._closing:
            raise StoreFailure("the store is closed")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order(note.job_id, note).waiting.append(written)
        await written

    def drop(self, job_id: JobId) -> None:
        """Forget a note that nobody waits for: what overtakes it is about to be written."""
        order = self._orders.get(job_id)
        if order is not None and not order.waiting:
            del self._orders[job_id]

    def tidy(self, job_id: JobId) -> None:
        """Drop the parts of a job that its row does not name any more: all, where it has ended."""
        if job_id in self._in_parts and job_id not in self._orders:
            self._order(job_id, None)

    async def close(self) -> None:
        """Return when all that was asked for is written, or was tried, and take nothing any more. Parts that
        are to be dropped the next life drops.
        """
        self._closing = True
        self._database.writer.hurry()
        if self._work is not None:
            await asyncio.wait({self._work})

    def _order(self, job_id: JobId, note: CourseNote | None) -> _Order:
        order = self._orders.get(job_id) or _Order(note, [])
        order.note = note
        if not self._closing:
            self._orders[job_id] = order
            if self._work is None or self._work.done():
                self._work = asyncio.create_task(self._work_off())
        return order

    async def _work_off(self) -> None:
        while self._orders:
            job_id = self._at_work = self._next()
            try:
                await self._carry_out(job_id, self._orders.pop(job_id))
            finally:
                self._at_work = None

    def _next(self) -> JobId:
        """Choose who is waited for before others."""
        waited_for = (job_id for job_id, order in self._orders.items() if order.waiting)
        return next(waited_for, next(iter(self._orders)))

    async def _carry_out(self, job_id: JobId, order: _Order) -> None:
        try:
            if order.note is not None:
                await self._write(order.note)
        except Exception as error:  # noqa: BLE001  # one that can't be written must not hold up the others
            order.failed(error)
        else:
            order.done()
        if job_id in self._in_parts and not self._closing:
            await self._tidy(job_id)
        if order.note is None:
            # It has ended: what could not be dropped goes with a purge.
            self._in_parts.discard(job_id)

    async def _write(self, note: CourseNote) -> None:
        loop, writer = asyncio.get_running_loop(), self._database.writer
        sealed = await loop.run_in_executor(self._database.sealers, note.sealed, self._database.box)
        first, *others = parts_of(sealed)
        if not others:
            await writer.write(lambda db: note.place(db, first), size=len(first))
            return
        self._in_parts.add(note.job_id)
        second = await writer.write(lambda db: course_parts.next_number(db, note.job_id))
        for number, part in enumerate(others, second):
            write = functools.partial(course_parts.write_part, job_id=note.job_id, number=number, part=part)
            await writer.write(write, size=len(part))
        place = functools.partial(note.place, run=first, size=len(sealed), second=second)
        await writer.write(place, size=len(first))

    async def _tidy(self, job_id: JobId) -> None:
        """Drop what is no course, or no course any more; what can't be dropped now goes later."""
        database = self._database
        try:
            for number in await database.writer.write(lambda db: course_parts.unnamed(db, job_id)):
                drop = functools.partial(course_parts.drop_unnamed, job_id=job_id, number=number)
                await database.writer.write(drop, size=PART_BYTES)
            if not await database.writer.write(lambda db: course_parts.has_parts(db, job_id)):
                self._in_parts.discard(job_id)
        except sqlite3.Error as error:
            log.warning("parts of a course could not be dropped: %s", error)
