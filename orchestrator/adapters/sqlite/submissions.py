"""Jobs as they come in: stored unless their customer's key is known."""

import sqlite3
from collections.abc import Sequence

from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.new_jobs import NewJobs, duplicate, find_key, insert, taken
from orchestrator.adapters.sqlite.shard_rows import ShardRows
from orchestrator.domain.jobs.idempotency import payload_bytes
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.store import Accepted, Duplicate


class SqliteSubmissions(ShardRows):
    """The part of the JobStore port that is about submissions."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._new = NewJobs(database.box, database.sealers)

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
