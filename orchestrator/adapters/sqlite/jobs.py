"""The work of a shard in the embedded store."""

import logging
from collections.abc import Sequence

from orchestrator.adapters.sqlite import retention
from orchestrator.adapters.sqlite.courses import SqliteCourses
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.endings import Endings
from orchestrator.adapters.sqlite.job_rows import WAITING_COLUMNS, read_job, read_result, waiting_job
from orchestrator.adapters.sqlite.lease_store import SqliteLease
from orchestrator.adapters.sqlite.outbox_store import SqliteOutbox
from orchestrator.adapters.sqlite.region_store import SqliteRegions
from orchestrator.adapters.sqlite.submissions import SqliteSubmissions
from orchestrator.adapters.sqlite.target_store import SqliteTargets
from orchestrator.adapters.sqlite.usage import add_usage
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.retention import Retention
from orchestrator.ports.store import Accepted, Duplicate, Ending, News, StoredJob, StoreFailure, WaitingJob

log = logging.getLogger(__name__)


class SqliteJobs(SqliteLease, SqliteSubmissions, SqliteCourses, SqliteOutbox, SqliteTargets, SqliteRegions):
    """The JobStore port on SQLite: what its parts do, and jobs as they are read, ended and forgotten."""

    def __init__(self, database: Database, keeping: Retention) -> None:
        super().__init__(database)
        self._keeping = keeping
        self._endings = Endings(database, self._new)

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

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children, in one transaction; waits on a full disk. A
        large result's other parts are on disk before.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        self._notes.drop(ending.job_id)
        self._large.drop(ending.job_id)
        try:
            return await self._endings.write(ending)
        finally:
            self._large.tidy(ending.job_id)

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day; rides the next commit."""
        self._database.post(lambda db: add_usage(db, customer, more))

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping, in batches that let other writes pass; what can't be written now
        is left to the next time.
        """
        try:
            while await self._database.written(
                lambda db: retention.purge(db, now_ms, self._keeping), size=retention.PURGE_BYTES
            ):
                pass
        except StoreFailure as error:
            log.warning("what is past its keeping could not be forgotten: %s", error)
