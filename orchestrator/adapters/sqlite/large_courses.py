"""Courses that keep large answers, on their way to disk: in parts, one course after the other.

In one commit a course would hold up every other write for as long as the disk takes for all its bytes, and
for those that it takes the place of, which are written over.
"""

import asyncio
import functools
import logging

from msgspec import Struct

from orchestrator.adapters.sqlite.course_notes import CourseNote
from orchestrator.adapters.sqlite.course_parts import drop_part, next_number, numbers_before, write_part
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.result_parts import PART_BYTES, parts_of
from orchestrator.domain.ids import JobId

log = logging.getLogger(__name__)


class _Order(Struct):
    """What is to become of a job's course on disk, and who waits for it. Without a note it has no parts."""

    note: CourseNote | None
    waiting: "list[asyncio.Future[None]]"

    def done(self) -> None:
        """It was carried out."""
        for saved in self.waiting:
            if not saved.done():
                saved.set_result(None)

    def failed(self, error: Exception) -> None:
        """It was not."""
        if not self.waiting:
            log.error("how far a job is could not be written: %s", error)
        for saved in self.waiting:
            if not saved.done():
                saved.set_exception(error)


class LargeCourses:
    """Writes the latest course of each job, and has one of all in memory, sealed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders: dict[JobId, _Order] = {}
        self._at_work: JobId | None = None
        self._in_parts: set[JobId] = set()
        """Who may have parts on disk that this life has written."""
        self._work: asyncio.Task[None] | None = None

    def has(self, job_id: JobId) -> bool:
        """Whether a job's next course, however small, has to come this way: behind another, or in the place
        of one in parts.
        """
        return job_id in self._orders or job_id == self._at_work or job_id in self._in_parts

    def put(self, note: CourseNote) -> None:
        """Take a note in place of an earlier one of its job that still waits."""
        self._order(note.job_id, note)

    async def save(self, note: CourseNote) -> None:
        """Write a note, or a later one of its job, and return once it is committed.

        Raises:
            StoreFailure: It could not be written for a while.
        """
        await self._database.tried("how far a job is", lambda: self._saved(note))

    def drop(self, job_id: JobId) -> None:
        """Forget a note that nobody waits for: what overtakes it is about to be written."""
        order = self._orders.get(job_id)
        if order is not None and not order.waiting:
            del self._orders[job_id]

    def forget(self, job_id: JobId) -> None:
        """Drop what a job that has ended has in parts."""
        if self.has(job_id):
            self._order(job_id, None)

    async def close(self) -> None:
        """Return when all is written, or was tried."""
        if self._work is not None:
            await self._work

    def _saved(self, note: CourseNote) -> "asyncio.Future[None]":
        saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order(note.job_id, note).waiting.append(saved)
        return saved

    def _order(self, job_id: JobId, note: CourseNote | None) -> _Order:
        order = self._orders.setdefault(job_id, _Order(note, []))
        order.note = note
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._work_off())
        return order

    async def _work_off(self) -> None:
        while self._orders:
            job_id = self._at_work = next(iter(self._orders))
            order = self._orders.pop(job_id)
            try:
                await self._carry_out(job_id, order.note)
            except Exception as error:  # noqa: BLE001  # one that can't be written must not hold up the others
                order.failed(error)
            else:
                order.done()
            self._at_work = None

    async def _carry_out(self, job_id: JobId, note: CourseNote | None) -> None:
        second = None if note is None else await self._write(note)
        if job_id in self._in_parts:
            await self._drop_before(job_id, second)
        if second is None:
            self._in_parts.discard(job_id)

    async def _write(self, note: CourseNote) -> int | None:
        """Write a course; give the number of its second part, None where the first is all."""
        loop, database = asyncio.get_running_loop(), self._database
        sealed = await loop.run_in_executor(database.sealers, note.sealed, database.box)
        first, *others = parts_of(sealed)
        if not others:
            await database.writer.write(lambda db: note.place(db, first), size=len(first))
            return None
        self._in_parts.add(note.job_id)
        second: int = await database.writer.write(lambda db: next_number(db, note.job_id))
        for number, part in enumerate(others, second):
            write = functools.partial(write_part, job_id=note.job_id, number=number, part=part)
            await database.writer.write(write, size=len(part))
        place = functools.partial(note.place, run=first, size=len(sealed), second=second)
        await database.writer.write(place, size=len(first))
        return second

    async def _drop_before(self, job_id: JobId, second: int | None) -> None:
        """Drop the parts of courses that one with this second part took the place of."""
        database = self._database
        for number in await database.lanes.work.read(lambda db: numbers_before(db, job_id, second)):
            drop = functools.partial(drop_part, job_id=job_id, number=number)
            await database.writer.write(drop, size=PART_BYTES)
