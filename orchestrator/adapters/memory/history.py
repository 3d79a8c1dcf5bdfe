"""What people look up, in memory."""

from collections.abc import Sequence
from math import inf

from orchestrator.adapters.memory.tables import Row, Tables
from orchestrator.domain.access.usage import CustomerUsage, DayUsage, added
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.jobs.lifecycle import state_shown
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.store import (
    DeadFilter,
    DeadLetterCursor,
    JobCount,
    JobCursor,
    JobFilter,
    JobPage,
    JobSummary,
    OutboxEntry,
    PendingCursor,
    PendingEndpoint,
    StoredJob,
)


class MemoryHistory:
    """The HistoryStore port in memory: nobody waits, so readers need no turns."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def look(self, job_id: JobId, reader: CustomerId) -> StoredJob | None:  # noqa: ARG002  # the port's
        """Read one job without what may be large."""
        return self._tables.look(job_id)

    async def result(self, job_id: JobId, reader: CustomerId) -> bytes | None:  # noqa: ARG002  # the port's
        """Read a job's result."""
        return self._tables.result(job_id)

    async def jobs_of(
        self,
        wanted: JobFilter,
        *,
        now_ms: int,
        most: int,
        before: JobCursor | None = None,
        within_s: float = inf,  # noqa: ARG002  # the port's: nothing takes long here
    ) -> JobPage:
        """List jobs, newest first."""
        rows = [row for row in self._tables.rows.values() if wanted.code is None or row.code == wanted.code]
        jobs = [self._summary(row, now_ms) for row in rows]
        fitting = [job for job in jobs if _is_wanted(job, wanted) and _older(job, before)]
        page = tuple(sorted(fitting, key=lambda job: (job.accepted_ms, job.id), reverse=True)[:most])
        more = len(fitting) > len(page)
        return JobPage(page, JobCursor(page[-1].accepted_ms, page[-1].id) if more else None)

    async def count_jobs(
        self, wanted: JobFilter, *, now_ms: int, most: int, within_s: float = inf
    ) -> JobCount:
        """Count jobs, no further than ``most``."""
        page = await self.jobs_of(wanted, now_ms=now_ms, most=most, within_s=within_s)
        return JobCount(len(page.jobs), more=page.next is not None)

    async def summary(
        self,
        job_id: JobId,
        now_ms: int,
        reader: CustomerId | None = None,  # noqa: ARG002  # the port's
    ) -> JobSummary | None:
        """Read one job as lists show it."""
        row = self._tables.rows.get(job_id)
        return self._summary(row, now_ms) if row else None

    def _summary(self, row: Row, now_ms: int) -> JobSummary:
        return JobSummary(
            id=row.job.id,
            customer=row.job.customer,
            domain=row.job.domain,
            state=state_shown(row.state, row.job.begins_ms, now_ms),
            delivery=row.delivery,
            idempotent_key=row.job.idempotent_key,
            accepted_ms=row.job.accepted_ms,
            ended_ms=row.ended_ms,
            forgotten=row.forgotten,
        )

    async def domains_of(
        self, customer: CustomerId | None, most: int, after: str = ""
    ) -> Sequence[TargetDomain]:
        """List the targets that a customer (None: anybody) has called, by name, those ``after`` one."""
        found = {domain for owner, domain in self._tables.domains if customer in (None, owner)}
        found |= self._tables.overrulings.keys() if customer is None else set()
        return sorted(domain for domain in found if domain > after)[:most]

    async def usage_of(self, customer: CustomerId, since_day: int) -> Sequence[DayUsage]:
        """List what a customer used, by day, from a day on."""
        days = (day for owner, day in self._tables.usage if owner == customer and day >= since_day)
        return [self._tables.usage[customer, day] for day in sorted(days)]

    async def most_used(self, since_day: int, most: int) -> Sequence[CustomerUsage]:
        """Add up what each customer used from a day on; who had the most jobs accepted comes first."""
        totals: dict[CustomerId, DayUsage] = {}
        for (customer, day), used in self._tables.usage.items():
            if day >= since_day:
                so_far = totals.get(customer, DayUsage(day=since_day))
                totals[customer] = added(so_far, used)
        found = [CustomerUsage(customer, used) for customer, used in totals.items()]
        return sorted(found, key=lambda each: (-each.used.accepted, each.customer))[:most]

    async def dead_deliveries(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None = None
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that failed for good, newest first."""
        entries = (entry for entries in self._tables.outbox.values() for entry in entries)
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
            for entries in self._tables.outbox.values()
            for entry in entries
            if entry.customer == customer
            and entry.state is DeliveryState.PENDING
            and endpoint in (None, entry.endpoint)
        ]


def _older(job: JobSummary, place: JobCursor | None) -> bool:
    return place is None or (job.accepted_ms, job.id) < (place.accepted_ms, place.job_id)


def _is_wanted(job: JobSummary, wanted: JobFilter) -> bool:
    return (
        wanted.customer in (None, job.customer)
        and (not wanted.states or job.state in wanted.states)
        and wanted.domain in (None, job.domain)
        and (not wanted.deliveries or job.delivery in wanted.deliveries)
        and wanted.since_ms <= job.accepted_ms < wanted.until_ms
        and wanted.idempotent_key in (None, job.idempotent_key)
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
