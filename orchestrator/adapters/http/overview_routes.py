"""What a customer used, which regions are up, and how each target stands."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.usage import DayUsage, added, day_of

DAYS_SHOWN = 30
DOMAINS_MOST = 1_000


class OverviewRoutes:
    """Looks at the whole, as far as it concerns the customer."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._shard = backend.shard

    async def usage(self, request: Request) -> Response:
        """Show a customer's open jobs, their limit, and what was used on each of the last 30 days (UTC)."""
        customer = await self._backend.keys.customer(request)
        since = day_of(self._shard.clock.unix_ms()) - DAYS_SHOWN + 1
        saved = await self._shard.store.usage_of(customer, since)
        document = {
            "customer_id": customer,
            "open_jobs": self._shard.ledger.open_jobs(customer),
            "open_jobs_limit": self._backend.bounds.open_jobs,
            "days": [_day(usage) for usage in _by_day([*saved, *self._shard.ledger.unsaved(customer)])],
        }
        return json_response(document, HTTPStatus.OK)

    async def regions(self, request: Request) -> Response:
        """Show every region: its health, what it has under way, and how long its attempts take."""
        await self._backend.keys.customer(request)
        took = self._shard.tally.attempt_seconds
        regions = [
            view | {"mean_attempt_s": took[view["region"]].mean if view["region"] in took else None}
            for view in self._shard.ways.regions_view()
        ]
        default = self._shard.options.regions[0]
        return json_response({"default_region": default, "regions": regions}, HTTPStatus.OK)

    async def domains(self, request: Request) -> Response:
        """Show each target that the customer has called: its pace, its queue and the ways to it."""
        customer = await self._backend.keys.customer(request)
        names = await self._shard.store.domains_of(customer, DOMAINS_MOST + 1)
        shown = [self._domain(customer, name) for name in names[:DOMAINS_MOST]]
        return json_response({"domains": shown, "more": len(names) > DOMAINS_MOST}, HTTPStatus.OK)

    def _domain(self, customer: CustomerId, name: TargetDomain) -> dict[str, Any]:
        found = self._shard.domains.get(name)
        if found is None:
            return {"domain": name} | _IDLE
        return {
            "domain": name,
            "pace": _pace(found),
            "in_flight": found.in_flight,
            "waiting": found.waiting,
            "waiting_yours": found.waiting_of(customer),
            "next_start_in_s": round(found.next_start_s, 3),
            "regions": self._shard.ways.domain_view(name),
        }


def _pace(domain: DomainLimiter) -> dict[str, Any]:
    return {
        "rps": domain.pace.rps,
        "max_concurrent": domain.pace.max_concurrent,
        "set_by": "target" if domain.steered else "default",
    }


def _by_day(usages: Iterable[DayUsage]) -> list[DayUsage]:
    days: dict[int, DayUsage] = {}
    for usage in usages:
        days[usage.day] = added(days[usage.day], usage) if usage.day in days else usage
    return [days[day] for day in sorted(days)]


def _day(usage: DayUsage) -> dict[str, Any]:
    return {
        "date": usage.date,
        "accepted": usage.accepted,
        "success": usage.success,
        "failed": usage.failed,
        "cancelled": usage.cancelled,
        "attempts": usage.attempts,
    }


_IDLE: dict[str, Any] = {
    "pace": None,
    "in_flight": 0,
    "waiting": 0,
    "waiting_yours": 0,
    "next_start_in_s": 0.0,
    "regions": {},
}
