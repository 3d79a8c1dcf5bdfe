"""The work of a shard, in memory."""

from collections.abc import Sequence

from msgspec.structs import replace

from orchestrator.adapters.memory.tables import FIRST_SHARD, Row, Tables
from orchestrator.domain.course import Course
from orchestrator.domain.fanout import DeliveryState
from orchestrator.domain.heard import Learned
from orchestrator.domain.idempotency import payload_bytes
from orchestrator.domain.ids import CustomerId, JobId, ShardName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.lease import Beat
from orchestrator.domain.lifecycle import JobState, first_state
from orchestrator.domain.marks import Mark
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.retention import Retention
from orchestrator.domain.usage import DayUsage, added
from orchestrator.ports.store import (
    Accepted,
    Duplicate,
    Ending,
    Fenced,
    OutboxEntry,
    StillBeating,
    StoredJob,
    WaitingJob,
    delivery_of,
    require_open,
)


class MemoryJobs:
    """The JobStore port in memory, for one life of a shard. Several may be open over the same tables.

    Args:
        tables: The rows.
        shard: Whose life this is.
        held_by_lock: Whether nobody else has it open.
    """

    def __init__(self, tables: Tables, shard: ShardName = FIRST_SHARD, *, held_by_lock: bool = True) -> None:
        self.held_by_lock = held_by_lock
        self._tables = tables
        self._shard = shard
        self._epoch = 0

    async def last_beat(self) -> Beat:
        """Read what whoever has the shard wrote last."""
        return self._tables.beats.get(self._shard, Beat(0, 0))

    async def begin_epoch(self, seen: Beat | None = None) -> int:
        """Take the shard: raise its epoch, 1 on a new store.

        Raises:
            StillBeating: Its beat is another than was ``seen``.
        """
        now = await self.last_beat()
        if seen is not None and seen != now:
            msg = f"{self._shard} has beaten: {now}, and not {seen}"
            raise StillBeating(msg)
        self._epoch = now.epoch + 1
        self._tables.beats[self._shard] = replace(now, epoch=self._epoch)
        return self._epoch

    async def beat(self) -> None:
        """Say that this one goes on."""
        self._fence()
        now = await self.last_beat()
        self._tables.beats[self._shard] = replace(now, number=now.number + 1)

    @property
    def fenced(self) -> bool:
        """Whether the shard has a later epoch than the one that was begun here."""
        return bool(self._epoch) and self._tables.beats[self._shard].epoch != self._epoch

    def _fence(self) -> None:
        if self.fenced:
            msg = f"{self._shard} was taken over: this one's epoch was {self._epoch}"
            raise Fenced(msg)

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known."""
        self._fence()
        return self._insert(job)

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs."""
        self._fence()
        return [self._insert(job) for job in jobs]

    def _insert(self, job: Job) -> Accepted | Duplicate:
        known = self._duplicate_of(job)
        if known is not None:
            return known
        self._tables.keys[job.customer, job.idempotent_key] = job.id
        self._tables.rows[job.id] = Row(job, first_state(job.accepted_ms, job.spec.retry_at))
        return Accepted(job)

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""
        return [self._duplicate_of(job) for job in jobs]

    def _duplicate_of(self, job: Job) -> Duplicate | None:
        known = self._tables.keys.get((job.customer, job.idempotent_key))
        if known is None:
            return None
        first = self._tables.rows[known]
        differs = payload_bytes(first.job.spec) != payload_bytes(job.spec)
        return Duplicate(known, first.state, differs, first.job.begins_ms)

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""
        rows = [row for row in self._tables.rows.values() if not row.state.ended]
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
        rows = (r for r in self._tables.rows.values() if not r.state.ended and r.job.deadline_at_ms <= now_ms)
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
        self._fence()
        self.note_course(job_id, customer, state, course)

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
        self._fence()
        row = self._tables.rows[ending.job_id]
        if row.state.ended:
            msg = f"{ending.job_id} has ended already"
            raise RuntimeError(msg)
        row.state, row.ended_ms = ending.state, ending.ended_ms
        row.course, row.result, row.code = ending.course, ending.result, ending.code
        self._tables.outbox[ending.job_id] = list(ending.outbox)
        self._tables.marks.pop(ending.job_id, None)
        if ending.key_freed:
            self._tables.keys.pop((row.job.customer, row.job.idempotent_key), None)
        return [self._insert(child) for child in ending.children]

    async def mark(self, mark: Mark) -> bool:
        """Write down that an attempt may have been sent."""
        self._fence()
        may_go = not self._tables.rows[mark.job].state.ended
        if may_go:
            self._tables.marks[mark.job] = mark
        return may_go

    async def marks(self) -> dict[JobId, Mark]:
        """List the marks of jobs that have not ended."""
        return dict(self._tables.marks)

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        entries = (entry for entries in self._tables.outbox.values() for entry in entries)
        pending = (entry for entry in entries if entry.state is DeliveryState.PENDING)
        return sorted(pending, key=lambda entry: entry.next_ms)

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended."""
        self._fence()
        if entry.job_id in self._tables.outbox:
            self._tables.outbox[entry.job_id][entry.index] = replace(entry)

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again."""
        self._fence()
        for entry in entries:
            await self.save_delivery(entry)

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        return dict(self._tables.paces)

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught."""
        if self.fenced:
            return
        self._tables.paces[domain] = learned

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return dict(self._tables.overrulings)

    async def save_overruling(
        self, domain: TargetDomain, overruling: Overruling, learned: Learned | None = None
    ) -> None:
        """Save what the operator says of a domain, and what is taken as learned there."""
        self._fence()
        self._tables.overrulings.pop(domain, None)
        if overruling:
            self._tables.overrulings[domain] = overruling
        if learned is not None:
            self._tables.paces[domain] = learned

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
        self._fence()
        kept = Retention()
        for job_id, row in list(self._tables.rows.items()):
            age_ms = now_ms - row.ended_ms if row.ended_ms is not None else -1
            key = (row.job.customer, row.job.idempotent_key)
            # A key that was freed early may belong to a newer job by now.
            if age_ms >= kept.key_ms and self._tables.keys.get(key) == job_id:
                del self._tables.keys[key]
            if age_ms >= kept.payload_ms and not row.forgotten:
                row.delivery = delivery_of(row.job, row.state, self._tables.outbox.pop(job_id, ()))
                row.forgotten = True
            if age_ms >= kept.summary_ms:
                del self._tables.rows[job_id]


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
