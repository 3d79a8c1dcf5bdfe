"""The work of a shard, in memory."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from orchestrator.adapters.memory.retention import forget_old
from orchestrator.adapters.memory.shard import MemoryShard
from orchestrator.adapters.memory.tables import Row
from orchestrator.adapters.memory.transactions import LockMode, Transaction
from orchestrator.domain.audit import AuditEntry
from orchestrator.domain.course import Course
from orchestrator.domain.draining import Drain
from orchestrator.domain.fanout import DeliveryState, JobDelivery
from orchestrator.domain.idempotency import payload_bytes
from orchestrator.domain.ids import CustomerId, JobId, RegionName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.learned import Learned
from orchestrator.domain.lifecycle import JobState, first_state
from orchestrator.domain.marks import Mark
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.usage import DayUsage, added
from orchestrator.ports.store import (
    Accepted,
    Duplicate,
    Ending,
    News,
    OutboxEntry,
    StoredJob,
    WaitingJob,
    delivery_of,
    require_open,
)

Key = tuple[CustomerId, str]
"""Of which there is one job."""
_T = TypeVar("_T")


class MemoryJobs(MemoryShard):
    """The JobStore port in memory."""

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

    async def _lock_job(self, transaction: Transaction, job_id: JobId) -> Row:
        await transaction.lock(("jobs", job_id), LockMode.ALONE)
        return self._tables.rows[job_id]

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

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        entries = (entry for entries in self._tables.outbox.values() for entry in entries)
        pending = (
            entry
            for entry in entries
            if entry.state is DeliveryState.PENDING and self._tables.has(self.shard, entry.endpoint)
        )
        return sorted(pending, key=lambda entry: entry.next_ms)

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended."""
        await self.reopen_deliveries([entry])

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries, and how those of each job stand together. Its row is locked before the others are
        read: of two receivers that are told at once, whichever comes second sees the first.
        """
        async with self._writing() as transaction:
            for job_id in sorted({entry.job_id for entry in entries}):
                row = await self._lock_job(transaction, job_id)
                saved = {entry.index: entry for entry in entries if entry.job_id == job_id}
                self._save_deliveries(transaction, row, saved)

    def _save_deliveries(self, transaction: Transaction, row: Row, saved: Mapping[int, OutboxEntry]) -> None:
        known = self._tables.outbox.get(row.job.id)
        if known is None:
            return
        entries = [saved.get(entry.index, entry) for entry in known]
        delivery = delivery_of(row.job, row.state, entries)
        transaction.write(lambda: self._put_deliveries(row, saved, delivery))

    def _put_deliveries(self, row: Row, saved: Mapping[int, OutboxEntry], delivery: JobDelivery) -> None:
        row.delivery = delivery
        for index, entry in saved.items():
            self._tables.outbox[row.job.id][index] = replace(entry)

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        return self._of_ours(self._tables.paces)

    def _of_ours(self, rows: Mapping[TargetDomain, _T]) -> dict[TargetDomain, _T]:
        return {domain: row for domain, row in rows.items() if self._tables.has(self.shard, domain)}

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught."""
        if self.fenced:
            return
        self._tables.paces[domain] = learned

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return self._of_ours(self._tables.overrulings)

    async def save_overruling(
        self,
        domain: TargetDomain,
        overruling: Overruling,
        entry: AuditEntry,
        learned: Learned | None = None,
    ) -> None:
        """Save what the operator says of a domain, the entry that says so, and what is taken as learned."""
        async with self._writing() as transaction:
            transaction.write(lambda: self._tables.overrule(domain, overruling, learned))
            transaction.write(lambda: self._tables.audit.append(entry))

    async def drains(self) -> dict[RegionName, Drain]:
        """List the regions that an operator has taken out of service."""
        return dict(self._tables.drains)

    async def save_drain(self, region: RegionName, drain: Drain | None, entry: AuditEntry) -> None:
        """Save that a region drains, or does so no longer, and the entry that says so."""
        async with self._writing() as transaction:
            transaction.write(lambda: self._tables.drain(region, drain))
            transaction.write(lambda: self._tables.audit.append(entry))

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target."""
        if self.fenced:
            return
        self._tables.domains.add((customer, domain))

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
