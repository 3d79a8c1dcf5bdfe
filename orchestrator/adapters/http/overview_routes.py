"""What a customer used, which regions are up, and how each target stands."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.domain_documents import domain_document, named_customer
from orchestrator.adapters.http.paging import decode_cursor, encode_cursor, read_limit
from orchestrator.domain.usage import DayUsage, added, day_of
from orchestrator.runtime.cooperative_yield import CooperativeYield

DAYS_SHOWN = 30
_AFTER = re.compile(r"(.{1,300})\Z")


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
        took = self._shard.counters.attempt_seconds
        regions = [
            view | {"mean_attempt_s": took[view["region"]].mean if view["region"] in took else None}
            for view in self._shard.routes.regions_view()
        ]
        default = self._shard.options.regions[0]
        return json_response({"default_region": default, "regions": regions}, HTTPStatus.OK)

    async def domains(self, request: Request) -> Response:
        """Show the targets that the customer has called, all customers' to an admin, by name: the pace that
        holds and why, queue, signals, and the routes to them; ``next_cursor`` is null on the last page.
        """
        caller = await self._backend.keys.caller(request)
        most = read_limit(request.query_params.get("limit", ""))
        cursor = request.query_params.get("cursor", "")
        after = decode_cursor(cursor, _AFTER)[1] if cursor else ""
        names = await self._shard.store.domains_of(named_customer(caller), most + 1, after)
        breather, shown = CooperativeYield(self._shard.clock.now), []
        for name in names[:most]:
            shown.append(domain_document(self._shard, caller, name))
            await breather.pause()
        following = encode_cursor(names[most - 1]) if len(names) > most else None
        return json_response({"domains": shown, "next_cursor": following}, HTTPStatus.OK)


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
