"""What people look up in the embedded store, each in its customer's turn."""

import time
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any

from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.job_rows import read_job, read_result
from orchestrator.adapters.sqlite.listing import count, look, read_summary
from orchestrator.adapters.sqlite.outbox import read_dead, read_pending_endpoints, read_pending_of
from orchestrator.domain.access.usage import CustomerUsage, DayUsage
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
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


class SqliteHistory:
    """The HistoryStore port on SQLite."""

    def __init__(self, database: Database) -> None:
        self._box = database.box
        self._shown = database.lanes.shown

    async def look(self, job_id: JobId, reader: CustomerId) -> StoredJob | None:
        """Read one job without what may be large; see ``HistoryStore.look``."""
        return await self._shown(reader, lambda db: read_job(db, self._box, job_id, large=False))

    async def result(self, job_id: JobId, reader: CustomerId) -> bytes | None:
        """Read a job's result."""
        return await self._shown(reader, lambda db: read_result(db, self._box, job_id))

    async def jobs_of(
        self,
        wanted: JobFilter,
        *,
        now_ms: int,
        most: int,
        before: JobCursor | None = None,
        within_s: float = inf,
    ) -> JobPage:
        """List jobs, newest first; those of all customers as people look at them who are none."""
        found: list[JobSummary] = []
        place, until = before, time.monotonic() + within_s
        while True:
            # One more than the page holds says whether there is another page.
            room = most + 1 - len(found)
            looked = await self._shown(
                wanted.customer or "", partial(look, wanted=wanted, now_ms=now_ms, most=room, before=place)
            )
            found += looked.jobs
            place = looked.next
            if len(found) > most:
                return JobPage(
                    tuple(found[:most]), JobCursor(found[most - 1].accepted_ms, found[most - 1].id)
                )
            if place is None or time.monotonic() >= until:
                return JobPage(tuple(found), place)

    async def count_jobs(
        self, wanted: JobFilter, *, now_ms: int, most: int, within_s: float = inf
    ) -> JobCount:
        """Count jobs, no further than ``most``, and for no longer than ``within_s``."""
        found, place, until = 0, None, time.monotonic() + within_s
        while True:
            some = partial(count, wanted=wanted, now_ms=now_ms, most=most - found, before=place)
            counted, place = await self._shown(wanted.customer or "", some)
            found += counted
            if place is None or found >= most or time.monotonic() >= until:
                return JobCount(found, more=place is not None)

    async def summary(
        self, job_id: JobId, now_ms: int, reader: CustomerId | None = None
    ) -> JobSummary | None:
        """Read one job as lists show it, its payload kept or not."""
        return await self._shown(reader or "", lambda db: read_summary(db, job_id, now_ms))

    async def domains_of(
        self, customer: CustomerId | None, most: int, after: str = ""
    ) -> Sequence[TargetDomain]:
        """List the targets that a customer (None: anybody) has called, by name, those ``after`` one."""
        sql = "SELECT domain FROM customer_domains WHERE customer = ? AND domain > ? ORDER BY domain LIMIT ?"
        values: tuple[object, ...] = (customer, after, most)
        if customer is None:
            sql = """SELECT domain FROM customer_domains WHERE domain > ?
                     UNION SELECT domain FROM overrulings WHERE domain > ? ORDER BY domain LIMIT ?"""
            values = (after, after, most)
        rows = await self._shown(customer or "", lambda db: db.execute(sql, values).fetchall())
        return [TargetDomain(domain) for (domain,) in rows]

    async def usage_of(self, customer: CustomerId, since_day: int) -> Sequence[DayUsage]:
        """List what a customer used, by day, from a day on."""
        sql = """SELECT day, accepted, success, failed, cancelled, attempts FROM usage
                 WHERE customer = ? AND day >= ? ORDER BY day"""
        rows = await self._shown(customer, lambda db: db.execute(sql, (customer, since_day)).fetchall())
        return [DayUsage(**dict(row)) for row in rows]

    async def most_used(self, since_day: int, most: int) -> Sequence[CustomerUsage]:
        """Add up what each customer used from a day on; who had the most jobs accepted comes first."""
        sql = """SELECT customer, sum(accepted) AS accepted, sum(success) AS success, sum(failed) AS failed,
                        sum(cancelled) AS cancelled, sum(attempts) AS attempts
                 FROM usage WHERE day >= ? GROUP BY customer ORDER BY accepted DESC, customer LIMIT ?"""
        rows = await self._shown("", lambda db: db.execute(sql, (since_day, most)).fetchall())
        return [_used(dict(row), since_day) for row in rows]

    async def dead_deliveries(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None = None
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that failed for good, newest first."""
        return await self._shown(wanted.customer, lambda db: read_dead(db, wanted, most, before))

    async def pending_endpoints(
        self, customer: CustomerId, *, most: int, endpoint: TargetDomain | None = None
    ) -> Sequence[PendingEndpoint]:
        """List whom a customer's deliveries still go to, the one with the most of them first."""
        return await self._shown(customer, lambda db: read_pending_endpoints(db, customer, most, endpoint))

    async def pending_deliveries(
        self,
        customer: CustomerId,
        *,
        most: int,
        endpoint: TargetDomain | None = None,
        after: PendingCursor | None = None,
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that are still to be made, by endpoint, the soonest first."""
        return await self._shown(customer, lambda db: read_pending_of(db, customer, most, endpoint, after))


def _used(row: dict[str, Any], since_day: int) -> CustomerUsage:
    return CustomerUsage(row.pop("customer"), DayUsage(day=since_day, **row))
