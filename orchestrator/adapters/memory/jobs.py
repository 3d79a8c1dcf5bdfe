"""The work of a shard, in memory."""

from collections.abc import Mapping, Sequence

from orchestrator.adapters.memory.outbox_store import MemoryOutbox
from orchestrator.adapters.memory.region_store import MemoryRegions
from orchestrator.adapters.memory.retention import forget_old
from orchestrator.adapters.memory.tables import Row
from orchestrator.adapters.memory.target_store import MemoryTargets
from orchestrator.adapters.memory.transactions import LockMode, Transaction
from orchestrator.domain.access.usage import DayUsage, added
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.idempotency import payload_bytes
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState, first_state
from orchestrator.ports.store import (
    Accepted,
    Duplicate,
    Ending,
    News,
    StoredJob,
    WaitingJob,
    delivery_of,
    require_open,
)

Key = tuple[CustomerId, str]
"""Of which there is one job."""


class MemoryJobs(MemoryOutbox, MemoryTargets, MemoryRegions):
    """The JobStore port in memory: what its parts do, and jobs."""

    async def news(self) -> News:
        """List what others have committed for this shard since one last looked."""
        since, self._looked_from = self._looked_from, self._tables.transactions.oldest_open
        rows = [row for row in self._ours() if row.inserted_by >= since and not row.state.ended]
        ended = {job_id for job_id, row in self._tables.rows.items() if row.ended_by >= since}
        deliveries = [entry for entry in await self.outbox() if entry.job_id in ended]
        return News([_waiting(row) for row in rows], deliveries)

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known."""
        (taken,) = await self.submit_many([job])
        return taken

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs."""
        async with self._writing() as transaction:
            return await self._insert(transaction, jobs)

    async def _insert(
        self, transaction: Transaction, jobs: Sequence[Job], freed: Key | None = None
    ) -> list[Accepted | Duplicate]:
        """Insert jobs whose keys are not known, or ``freed`` by this transaction. Who inserts the same key
        waits for the end of whoever was first, and reads then; keys are locked in one order, so that no two
        wait for each other.
        """
        for key in sorted({*map(_key, jobs)} | ({freed} if freed else set())):
            await transaction.lock(("keys", key), LockMode.ALONE)
        new: dict[Key, Row] = {}
        taken: list[Accepted | Duplicate] = []
        for job in jobs:
            first = new.get(_key(job)) or (self._holder(job) if _key(job) != freed else None)
            taken.append(Accepted(job) if first is None else _duplicate(first, job))
            if first is None:
                state = first_state(job.accepted_ms, job.spec.retry_at)
                delivery = delivery_of(job, state, ())
                new[_key(job)] = Row(job, state, delivery=delivery, inserted_by=transaction.number)
        transaction.write(lambda: self._put(new))
        return taken

    def _put(self, new: Mapping[Key, Row]) -> None:
        for key, row in new.items():
            self._tables.keys[key] = row.job.id
            self._tables.rows[row.job.id] = row

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""
        holders = [self._holder(job) for job in jobs]
        return [
            None if first is None else _duplicate(first, job)
            for first, job in zip(holders, jobs, strict=True)
        ]

    def _holder(self, job: Job) -> Row | None:
        known = self._tables.keys.get(_key(job))
        return None if known is None else self._tables.rows[known]

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""
        rows = [row for row in self._ours() if not row.state.ended]
        return [_waiting(row) for row in sorted(rows, key=lambda row: (row.job.order_key, row.job.id))]

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole."""
        return self._tables.load(job_id)

    async def look(self, job_id: JobId) -> StoredJob | None:
        """Read one job without what may be large."""
        return self._tables.look(job_id)

    async def result(self, job_id: JobId) -> bytes | None:
        """Read a job's result."""
        return self._tables.result(job_id)

    async def overdue(self, now_ms: int, most: int, skip: int = 0) -> Sequence[JobId]:
        """List unended jobs whose deadline has passed."""
        rows = (row for row in self._ours() if not row.state.ended and row.job.deadline_at_ms <= now_ms)
        return [row.job.id for row in sorted(rows, key=lambda row: row.job.deadline_at_ms)][
            skip : skip + most
        ]

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:  # noqa: ARG002  # the port's
        """Save how far a job is.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        row = self._tables.rows[job_id]
        if not row.state.ended and not self.fenced:
            row.state, row.course = state, course

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        async with self._writing() as transaction:
            transaction.write(lambda: self.note_course(job_id, customer, state, course))

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:  # noqa: ARG002  # the port's
        """Save what was still learned about a job that has ended."""
        if self.fenced:
            return
        row = self._tables.rows[job_id]
        if row.state.ended:
            row.course = course

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children.

        Raises:
            RuntimeError: It has ended already.
        """
        async with self._writing() as transaction:
            row = await self._lock_job(transaction, ending.job_id)
            if row.state.ended:
                msg = f"{ending.job_id} has ended already"
                raise RuntimeError(msg)
            transaction.write(lambda: self._end(row, ending, transaction.number))
            freed = _key(row.job) if ending.key_freed else None
            return await self._insert(transaction, ending.children, freed)

    def _end(self, row: Row, ending: Ending, number: int) -> None:
        row.state, row.ended_ms, row.ended_by = ending.state, ending.ended_ms, number
        row.course, row.result, row.code = ending.course, ending.result, ending.code
        row.delivery = delivery_of(row.job, row.state, ending.outbox)
        self._tables.outbox[ending.job_id] = list(ending.outbox)
        self._tables.marks.pop(ending.job_id, None)
        if ending.key_freed:
            self._tables.keys.pop(_key(row.job), None)

    async def mark(self, mark: Mark) -> bool:
        """Write down that an attempt may have been sent."""
        async with self._writing() as transaction:
            row = await self._lock_job(transaction, mark.job)
            if not row.state.ended:
                transaction.write(lambda: self._tables.marks.update({mark.job: mark}))
            return not row.state.ended

    async def marks(self) -> dict[JobId, Mark]:
        """List the marks of jobs that have not ended."""
        ours = {row.job.id for row in self._ours()}
        return {job_id: mark for job_id, mark in self._tables.marks.items() if job_id in ours}

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day."""
        if self.fenced:
            return
        known = self._tables.usage.get((customer, more.day))
        self._tables.usage[customer, more.day] = added(known, more) if known else more

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping."""
        async with self._writing() as transaction:
            transaction.write(lambda: forget_old(self._tables, now_ms))


def _key(job: Job) -> Key:
    return job.customer, job.idempotent_key


def _duplicate(first: Row, job: Job) -> Duplicate:
    differs = payload_bytes(first.job.spec) != payload_bytes(job.spec)
    return Duplicate(first.job.id, first.state, differs, first.job.begins_ms)


def _waiting(row: Row) -> WaitingJob:
    job = row.job
    return WaitingJob(
        id=job.id,
        customer=job.customer,
        domain=job.domain,
        state=row.state,
        order_key=job.order_key,
        not_before_ms=job.begins_ms,
        account=job.account,
        cost=job.spec.cost,
    )
