"""The Store port in memory: for simulation, and for tests of everything above a store.

It commits at once and seals nothing; a new shard over the same object is a restart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.course import Course, without_answers
from orchestrator.domain.fanout import DeliveryState, JobDelivery
from orchestrator.domain.heard import Learned
from orchestrator.domain.idempotency import payload_bytes
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.lifecycle import JobState, first_state, state_shown
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.retention import Retention
from orchestrator.domain.roles import Caller, Role
from orchestrator.domain.usage import DayUsage, added
from orchestrator.ports.store import (
    Accepted,
    DeadFilter,
    DeadLetterCursor,
    Duplicate,
    Ending,
    JobCursor,
    JobFilter,
    JobPage,
    JobSummary,
    OutboxEntry,
    PendingCursor,
    PendingEndpoint,
    StoredJob,
    WaitingJob,
    WebhookSecrets,
    delivery_of,
    require_open,
)


@dataclass(slots=True)
class _Row:
    job: Job
    state: JobState
    course: Course | None = None
    result: bytes | None = None
    ended_ms: int | None = None
    forgotten: bool = False
    """Its payload is past its keeping."""
    delivery: JobDelivery = JobDelivery.NONE
    """How its deliveries had ended then."""
    code: str | None = None


class MemoryStore:
    """One shard's state in dictionaries."""

    def __init__(self) -> None:
        self._epoch = 0
        self._rows: dict[JobId, _Row] = {}
        self._keys: dict[tuple[CustomerId, str], JobId] = {}
        self._outbox: dict[JobId, list[OutboxEntry]] = {}
        self._domains: set[tuple[CustomerId, TargetDomain]] = set()
        self._usage: dict[tuple[CustomerId, int], DayUsage] = {}
        self._paces: dict[TargetDomain, Learned] = {}
        self._overrulings: dict[TargetDomain, Overruling] = {}
        self._secrets: dict[CustomerId, WebhookSecrets] = {}
        self.api_keys: dict[str, CustomerId] = {}
        self.plan_of: dict[CustomerId, str] = {}
        self.role_of: dict[str, Role] = {}
        """By key; of one that is not named, SUBMIT."""

    @property
    def lost(self) -> str | None:
        """Nothing of it can get lost."""
        return None

    async def begin_epoch(self) -> int:
        """Take the next fencing number: 1 on a new store."""
        self._epoch += 1
        return self._epoch

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known."""
        return self._insert(job)

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs."""
        return [self._insert(job) for job in jobs]

    def _insert(self, job: Job) -> Accepted | Duplicate:
        known = self._duplicate_of(job)
        if known is not None:
            return known
        self._keys[job.customer, job.idempotent_key] = job.id
        self._rows[job.id] = _Row(job, first_state(job.accepted_ms, job.spec.retry_at))
        return Accepted(job)

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""
        return [self._duplicate_of(job) for job in jobs]

    def _duplicate_of(self, job: Job) -> Duplicate | None:
        known = self._keys.get((job.customer, job.idempotent_key))
        if known is None:
            return None
        first = self._rows[known]
        differs = payload_bytes(first.job.spec) != payload_bytes(job.spec)
        return Duplicate(known, first.state, differs, first.job.begins_ms)

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""
        rows = [row for row in self._rows.values() if not row.state.ended]
        return [_waiting(row) for row in sorted(rows, key=lambda row: (row.job.order_key, row.job.id))]

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole."""
        row = self._rows.get(job_id)
        if row is None or row.forgotten:
            return None
        return StoredJob(
            job=row.job,
            state=row.state,
            course=row.course,
            result=row.result,
            ended_ms=row.ended_ms,
            deliveries=tuple(self._outbox.get(job_id, ())),
            result_bytes=len(row.result or b""),
        )

    async def look(self, job_id: JobId, reader: CustomerId | None = None) -> StoredJob | None:  # noqa: ARG002  # the port's
        """Read one job without what may be large."""
        stored = await self.load(job_id)
        if stored is None:
            return None
        course = stored.course and without_answers(stored.course)
        small = stored.result_bytes <= LARGE_BYTES
        return replace(stored, course=course, result=stored.result if small else None)

    async def result(self, job_id: JobId, reader: CustomerId | None = None) -> bytes | None:  # noqa: ARG002  # the port's
        """Read a job's result."""
        row = self._rows.get(job_id)
        return row.result if row is not None and not row.forgotten else None

    async def jobs_of(
        self, wanted: JobFilter, *, now_ms: int, most: int, before: JobCursor | None = None
    ) -> JobPage:
        """List a customer's jobs, newest first."""
        rows = [row for row in self._rows.values() if wanted.code is None or row.code == wanted.code]
        jobs = [self._summary(row, now_ms) for row in rows]
        fitting = [job for job in jobs if _is_wanted(job, wanted) and _older(job, before)]
        page = tuple(sorted(fitting, key=lambda job: (job.accepted_ms, job.id), reverse=True)[:most])
        more = len(fitting) > len(page)
        return JobPage(page, JobCursor(page[-1].accepted_ms, page[-1].id) if more else None)

    async def summary(
        self,
        job_id: JobId,
        now_ms: int,
        reader: CustomerId | None = None,  # noqa: ARG002  # the port's
    ) -> JobSummary | None:
        """Read one job as lists show it."""
        row = self._rows.get(job_id)
        return self._summary(row, now_ms) if row else None

    async def domains_of(
        self, customer: CustomerId | None, most: int, after: str = ""
    ) -> Sequence[TargetDomain]:
        """List the targets that a customer (None: anybody) has called, by name, those ``after`` one."""
        found = {domain for owner, domain in self._domains if customer in (None, owner)}
        found |= self._overrulings.keys() if customer is None else set()
        return sorted(domain for domain in found if domain > after)[:most]

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target."""
        self._domains.add((customer, domain))

    async def usage_of(self, customer: CustomerId, since_day: int) -> Sequence[DayUsage]:
        """List what a customer used, by day, from a day on."""
        days = (day for owner, day in self._usage if owner == customer and day >= since_day)
        return [self._usage[customer, day] for day in sorted(days)]

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day."""
        known = self._usage.get((customer, more.day))
        self._usage[customer, more.day] = added(known, more) if known else more

    def _summary(self, row: _Row, now_ms: int) -> JobSummary:
        deliveries = self._outbox.get(row.job.id, ())
        return JobSummary(
            id=row.job.id,
            customer=row.job.customer,
            domain=row.job.domain,
            state=state_shown(row.state, row.job.begins_ms, now_ms),
            delivery=row.delivery if row.forgotten else delivery_of(row.job, row.state, deliveries),
            idempotent_key=row.job.idempotent_key,
            accepted_ms=row.job.accepted_ms,
            ended_ms=row.ended_ms,
            forgotten=row.forgotten,
        )

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:  # noqa: ARG002  # the port's
        """Save how far a job is.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        require_open(job_id, state)
        row = self._rows[job_id]
        if not row.state.ended:
            row.state, row.course = state, course

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """
        self.note_course(job_id, customer, state, course)

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:  # noqa: ARG002  # the port's
        """Save what was still learned about a job that has ended."""
        row = self._rows[job_id]
        if row.state.ended:
            row.course = course

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children.

        Raises:
            RuntimeError: It has ended already.
        """
        row = self._rows[ending.job_id]
        if row.state.ended:
            msg = f"{ending.job_id} has ended already"
            raise RuntimeError(msg)
        row.state, row.ended_ms = ending.state, ending.ended_ms
        row.course, row.result, row.code = ending.course, ending.result, ending.code
        self._outbox[ending.job_id] = list(ending.outbox)
        if ending.key_freed:
            self._keys.pop((row.job.customer, row.job.idempotent_key), None)
        return [self._insert(child) for child in ending.children]

    async def overdue(self, now_ms: int, most: int, skip: int = 0) -> Sequence[JobId]:
        """List unended jobs whose deadline has passed."""
        rows = (r for r in self._rows.values() if not r.state.ended and r.job.deadline_at_ms <= now_ms)
        return [row.job.id for row in sorted(rows, key=lambda row: row.job.deadline_at_ms)][
            skip : skip + most
        ]

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        entries = (entry for entries in self._outbox.values() for entry in entries)
        pending = (entry for entry in entries if entry.state is DeliveryState.PENDING)
        return sorted(pending, key=lambda entry: entry.next_ms)

    async def dead_deliveries(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None = None
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that failed for good, newest first."""
        entries = (entry for entries in self._outbox.values() for entry in entries)
        dead = [
            entry for entry in entries if entry.state is DeliveryState.FAILED and _is_meant(entry, wanted)
        ]
        dead.sort(key=_dead_place, reverse=True)
        start = None if before is None else (before.at_ms, before.id)
        return [entry for entry in dead if start is None or _dead_place(entry) < start][:most]

    async def pending_endpoints(
        self, customer: CustomerId, *, most: int, endpoint: TargetDomain | None = None
    ) -> Sequence[PendingEndpoint]:
        """List whom a customer's deliveries still go to, the one with the most of them first."""
        entries = self._pending_of(customer, endpoint)
        by_endpoint = {
            name: [e for e in entries if e.endpoint == name] for name in {e.endpoint for e in entries}
        }
        found = [_pending_endpoint(name, waiting) for name, waiting in by_endpoint.items()]
        return sorted(found, key=lambda each: (-each.deliveries, each.endpoint))[:most]

    async def pending_deliveries(
        self,
        customer: CustomerId,
        *,
        most: int,
        endpoint: TargetDomain | None = None,
        after: PendingCursor | None = None,
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that are still to be made, by endpoint, the soonest first."""
        start = (after.endpoint, after.at_ms, after.id) if after else ("", -1, "")
        entries = sorted(self._pending_of(customer, endpoint), key=_pending_place)
        return [entry for entry in entries if _pending_place(entry) > start][:most]

    def _pending_of(self, customer: CustomerId, endpoint: TargetDomain | None) -> list[OutboxEntry]:
        return [
            entry
            for entries in self._outbox.values()
            for entry in entries
            if entry.customer == customer
            and entry.state is DeliveryState.PENDING
            and endpoint in (None, entry.endpoint)
        ]

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended."""
        if entry.job_id in self._outbox:
            self._outbox[entry.job_id][entry.index] = replace(entry)

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again."""
        for entry in entries:
            await self.save_delivery(entry)

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        return dict(self._paces)

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught."""
        self._paces[domain] = learned

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return dict(self._overrulings)

    async def save_overruling(
        self, domain: TargetDomain, overruling: Overruling, learned: Learned | None = None
    ) -> None:
        """Save what the operator says of a domain, and what is taken as learned there."""
        self._overrulings.pop(domain, None)
        if overruling:
            self._overrulings[domain] = overruling
        if learned is not None:
            self._paces[domain] = learned

    async def plans(self) -> Sequence[tuple[CustomerId, str]]:
        """List customers with the plans of their valid keys."""
        return [(customer, self.plan_of.get(customer, "pro")) for customer in self.api_keys.values()]

    async def put_secrets(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        """Store a customer's webhook secrets."""
        self._secrets[customer] = secrets

    async def secrets(self, customer: CustomerId) -> WebhookSecrets | None:
        """Read a customer's webhook secrets."""
        return self._secrets.get(customer)

    async def drop_secrets(self, customer: CustomerId) -> bool:
        """Delete them; say whether there were any."""
        return self._secrets.pop(customer, None) is not None

    async def caller_of(self, key: str) -> Caller | None:
        """Whose API key this is, and of which role; None where it is unknown or revoked."""
        customer = self.api_keys.get(key)
        if customer is None:
            return None
        return Caller(customer, self.role_of.get(key, Role.SUBMIT), key_id=f"key of {customer}")

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping."""
        kept = Retention()
        for job_id, row in list(self._rows.items()):
            age_ms = now_ms - row.ended_ms if row.ended_ms is not None else -1
            key = (row.job.customer, row.job.idempotent_key)
            # A key that was freed early may belong to a newer job by now.
            if age_ms >= kept.key_ms and self._keys.get(key) == job_id:
                del self._keys[key]
            if age_ms >= kept.payload_ms and not row.forgotten:
                row.delivery = delivery_of(row.job, row.state, self._outbox.pop(job_id, ()))
                row.forgotten = True
            if age_ms >= kept.summary_ms:
                del self._rows[job_id]

    async def close(self) -> None:
        """Nothing is held."""


def _older(job: JobSummary, place: JobCursor | None) -> bool:
    return place is None or (job.accepted_ms, job.id) < (place.accepted_ms, place.job_id)


def _is_wanted(job: JobSummary, wanted: JobFilter) -> bool:
    return (
        job.customer == wanted.customer
        and (not wanted.states or job.state in wanted.states)
        and wanted.domain in (None, job.domain)
        and (not wanted.deliveries or job.delivery in wanted.deliveries)
        and wanted.since_ms <= job.accepted_ms < wanted.until_ms
        and wanted.idempotent_key in (None, job.idempotent_key)
    )


def _waiting(row: _Row) -> WaitingJob:
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


def _is_meant(entry: OutboxEntry, wanted: DeadFilter) -> bool:
    return (
        entry.customer == wanted.customer
        and wanted.id in (None, entry.id)
        and wanted.endpoint in (None, entry.endpoint)
        and wanted.since_ms <= entry.next_ms < wanted.until_ms
    )


def _dead_place(entry: OutboxEntry) -> tuple[int, str]:
    return entry.next_ms, entry.id


def _pending_place(entry: OutboxEntry) -> tuple[str, int, str]:
    return entry.endpoint, entry.next_ms, entry.id


def _pending_endpoint(name: TargetDomain, entries: Sequence[OutboxEntry]) -> PendingEndpoint:
    attempts = [entry.log[-1] for entry in entries if entry.first_ms is not None]
    return PendingEndpoint(
        endpoint=name,
        deliveries=len(entries),
        failing=len(attempts),
        next_ms=min(entry.next_ms for entry in entries),
        last=max(attempts, key=lambda attempt: attempt.at_ms, default=None),
    )
