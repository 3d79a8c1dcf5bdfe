"""The work of a shard in the embedded store: jobs on their way, deliveries, and what targets have taught."""

import logging
import sqlite3
from collections.abc import Sequence

from orchestrator.adapters.records import pack_course
from orchestrator.adapters.sealing import sealing_context
from orchestrator.adapters.sqlite.audit import write_audit
from orchestrator.adapters.sqlite.course_notes import CourseNote, CourseNotes
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.drains import read_drains, write_drain
from orchestrator.adapters.sqlite.endings import Endings
from orchestrator.adapters.sqlite.epochs import raise_epoch, read_beat, write_beat
from orchestrator.adapters.sqlite.job_rows import WAITING_COLUMNS, read_job, read_result, waiting_job
from orchestrator.adapters.sqlite.marks import read_marks, write_mark
from orchestrator.adapters.sqlite.new_jobs import NewJobs, duplicate, find_key, insert, taken
from orchestrator.adapters.sqlite.outbox import read_pending, update_of
from orchestrator.adapters.sqlite.overrulings import read_overrulings, write_overruling
from orchestrator.adapters.sqlite.retention import purge
from orchestrator.adapters.sqlite.targets import LEARN, lesson, note_caller, read_lessons
from orchestrator.adapters.sqlite.usage import add_usage
from orchestrator.domain.audit import AuditEntry
from orchestrator.domain.course import Course
from orchestrator.domain.draining import Drain
from orchestrator.domain.idempotency import payload_bytes
from orchestrator.domain.ids import CustomerId, JobId, RegionName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.learned import Learned
from orchestrator.domain.lease import Beat
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.marks import Mark
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.retention import Retention
from orchestrator.domain.usage import DayUsage
from orchestrator.ports.store import (
    Accepted,
    Duplicate,
    Ending,
    News,
    OutboxEntry,
    StoredJob,
    StoreFailure,
    WaitingJob,
    require_open,
)

log = logging.getLogger(__name__)


class SqliteJobs:
    """The JobStore port on SQLite."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._box = database.box
        self._retention = retention
        self._new = NewJobs(database.box, database.sealers)
        self._notes = CourseNotes(database.box, database.post)
        self._endings = Endings(database, self._new)
        self._saving: set[JobId] = set()

    @property
    def held_by_lock(self) -> bool:
        """Nobody else can open the data directory."""
        return True

    async def last_beat(self) -> Beat:
        """Read what whoever has the shard wrote last."""
        return await self._database.lanes.work.read(read_beat)

    async def begin_epoch(self, seen: Beat | None = None) -> int:
        """Take the shard: raise its epoch, 1 on a new store.

        Raises:
            StillBeating: Its beat is another than was ``seen``.
            StoreFailure: It could not be written.
        """
        epoch = int(await self._database.written(lambda db: raise_epoch(db, seen)))
        self._database.fence.epoch = epoch
        return epoch

    async def beat(self) -> None:
        """Say that this one goes on."""
        await self._database.written(write_beat)

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known.

        Raises:
            StoreFailure: It could not be written.

        """
        row = await self._new.row(job)
        written = await self._database.written(lambda db: insert(db, row), size=len(row.request))
        return taken(job, row, written)

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs in one transaction.

        Raises:
            StoreFailure: They could not be written; none was.

        """
        rows = await self._new.rows(jobs)
        size = sum(len(row.request) for row in rows)
        found = await self._database.written(lambda db: [insert(db, row) for row in rows], size=size)
        return [taken(*triple) for triple in zip(jobs, rows, found, strict=True)]

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""
        return await self._database.lanes.work.read(lambda db: [self._duplicate_of(db, job) for job in jobs])

    def _duplicate_of(self, db: sqlite3.Connection, job: Job) -> Duplicate | None:
        holder = find_key(db, job.customer, job.idempotent_key)
        if holder is None:
            return None
        return duplicate(holder, self._box.fingerprint(payload_bytes(job.spec)))

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""
        sql = f"SELECT {WAITING_COLUMNS} FROM jobs WHERE ended_ms IS NULL ORDER BY order_key, id"  # noqa: S608  # names of our own
        return [waiting_job(self._box, row) for row in await self._database.lanes.work.rows(sql)]

    async def news(self) -> News:
        """Nothing: whoever has this directory has all its slots, and writes every row itself."""
        return News((), ())

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole.

        Raises:
            DamagedError: Its request can't be read.
        """
        return await self._database.lanes.work.read(lambda db: read_job(db, self._box, job_id))

    async def look(self, job_id: JobId) -> StoredJob | None:
        """Read one job without what may be large; see ``JobStore.look``."""
        return await self._database.lanes.work.read(lambda db: read_job(db, self._box, job_id, large=False))

    async def result(self, job_id: JobId) -> bytes | None:
        """Read a job's result."""
        return await self._database.lanes.work.read(lambda db: read_result(db, self._box, job_id))

    async def overdue(self, now_ms: int, most: int, skip: int = 0) -> Sequence[JobId]:
        """List unended jobs whose deadline has passed, by deadline; ``skip`` of them are passed over."""
        sql = """SELECT id FROM jobs WHERE ended_ms IS NULL AND deadline_ms <= ?
                 ORDER BY deadline_ms LIMIT ? OFFSET ?"""
        return [JobId(id_) for (id_,) in await self._database.lanes.work.rows(sql, now_ms, most, skip)]

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is; rides the next commit, nobody waits for it.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        note = CourseNote(job_id, customer, state, course)
        if job_id in self._saving:
            self._database.post(lambda db: note.write(db, self._box))
        else:
            self._notes.put(note)

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is, and wait for the commit, on a full disk for a while.

        Raises:
            StoreFailure: It could not be written all that time.
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        note = CourseNote(job_id, customer, state, course)
        self._notes.drop(job_id)
        # A later note must not be written before this one, as it would be by a flush that waits already.
        self._saving.add(job_id)
        try:
            await self._database.kept("how far a job is", lambda db: note.write(db, self._box))
        finally:
            self._saving.discard(job_id)

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:
        """Save what was still learned about a job that has ended; rides the next commit."""
        sealed = self._box.seal(pack_course(course), sealing_context(customer, job_id, "run"))
        sql = "UPDATE jobs SET run = ? WHERE id = ? AND ended_ms IS NOT NULL"
        self._database.post(lambda db: db.execute(sql, (sealed, job_id)))

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children, in one transaction; waits on a full disk. A
        large result's other parts are on disk before.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        self._notes.drop(ending.job_id)
        return await self._endings.write(ending)

    async def mark(self, mark: Mark) -> bool:
        """Write down that an attempt may have been sent; see ``JobStore.mark``.

        Raises:
            StoreFailure: It could not be written for a while.
        """
        return bool(await self._database.kept("a mark", lambda db: write_mark(db, mark)))

    async def marks(self) -> dict[JobId, Mark]:
        """List the marks of jobs that have not ended."""
        return await self._database.lanes.work.read(read_marks)

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        return await self._database.lanes.work.read(read_pending)

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended, on a full disk after a while.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        sql, values = update_of(entry)
        await self._database.kept("a delivery", lambda db: db.execute(sql, values).rowcount)

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again, in one transaction.

        Raises:
            StoreFailure: They could not be written; none was.
        """
        updates = [update_of(entry) for entry in entries]
        await self._database.written(lambda db: [db.execute(sql, values).rowcount for sql, values in updates])

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        return await self._database.lanes.work.read(lambda db: read_lessons(db, self._box))

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught; rides the next commit."""
        row = lesson(self._box, domain, learned)
        self._database.post(lambda db: db.execute(LEARN, row))

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return await self._database.lanes.work.read(read_overrulings)

    async def save_overruling(
        self,
        domain: TargetDomain,
        overruling: Overruling,
        entry: AuditEntry,
        learned: Learned | None = None,
    ) -> None:
        """Save what the operator says of a domain, the entry that says so, and what is taken as learned
        there, in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """
        row = None if learned is None else lesson(self._box, domain, learned)

        def write(db: sqlite3.Connection) -> None:
            write_overruling(db, domain, overruling)
            write_audit(db, entry)
            if row is not None:
                db.execute(LEARN, row)

        await self._database.written(write)

    async def drains(self) -> dict[RegionName, Drain]:
        """List the regions that an operator has taken out of service."""
        return await self._database.lanes.work.read(read_drains)

    async def save_drain(self, region: RegionName, drain: Drain | None, entry: AuditEntry) -> None:
        """Save that a region drains, or does so no longer, and the entry that says so, in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """

        def write(db: sqlite3.Connection) -> None:
            write_drain(db, region, drain)
            write_audit(db, entry)

        await self._database.written(write)

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target on this day; rides the next commit."""
        self._database.post(lambda db: note_caller(db, customer, domain))

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day; rides the next commit."""
        self._database.post(lambda db: add_usage(db, customer, more))

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping, in batches that let other writes pass; what can't be written now
        is left to the next time.
        """
        try:
            while await self._database.written(lambda db: purge(db, now_ms, self._retention)):
                pass
        except StoreFailure as error:
            log.warning("what is past its keeping could not be forgotten: %s", error)
