"""What a customer used, which regions are up, and how each target stands."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.paging import decode_cursor, encode_cursor, read_limit
from orchestrator.core.cooperative_yield import CooperativeYield
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.domain.active_limits import ActiveLimit, ActiveLimitKind, Scope
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.known_domains import ANY_OTHER
from orchestrator.domain.usage import DayUsage, added, day_of

DAYS_SHOWN = 30
LABEL_LENGTH = 12
"""Digits of an account's hash that are enough to tell a customer's own accounts apart."""
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
        """Show the targets that the customer has called, by name: pace, queue, what holds them back, and the
        routes to them; ``next_cursor`` is null on the last page.
        """
        customer = await self._backend.keys.customer(request)
        most = read_limit(request.query_params.get("limit", ""))
        cursor = request.query_params.get("cursor", "")
        after = decode_cursor(cursor, _AFTER)[1] if cursor else ""
        names = await self._shard.store.domains_of(customer, most + 1, after)
        breather, shown = CooperativeYield(self._shard.clock.now), []
        for name in names[:most]:
            shown.append(self._domain(customer, name))
            await breather.pause()
        following = encode_cursor(names[most - 1]) if len(names) > most else None
        return json_response({"domains": shown, "next_cursor": following}, HTTPStatus.OK)

    def _domain(self, customer: CustomerId, name: TargetDomain) -> dict[str, Any]:
        found = self._shard.domains.get(name)
        if found is None:
            return {"domain": name} | _IDLE
        signals = [self._signal(signal) for signal in found.active_limits_for(customer)]
        return {
            "domain": name,
            "pace": self._pace(name, found),
            "signals": signals,
            "paused_until": max((s["until"] for s in signals if _pauses_all(s)), default=None),
            "account_queues": found.account_queues,
            "in_flight": found.in_flight,
            "waiting": found.waiting,
            "waiting_yours": found.waiting_of(customer),
            "next_start_in_s": round(found.next_start_s, 3),
            "regions": self._shard.routes.domain_view(name),
        }

    def _pace(self, name: TargetDomain, domain: DomainLimiter) -> dict[str, Any]:
        unknown = self._shard.options.known.policy(name) is ANY_OTHER
        return {
            "rps": domain.pace.rps,
            "max_concurrent": domain.pace.max_concurrent,
            "set_by": "target" if domain.steered else "default" if unknown else "operator",
        }

    def _signal(self, signal: ActiveLimit) -> dict[str, Any]:
        clock = self._shard.clock
        until = signal.until
        return {
            "kind": signal.kind,
            "source": signal.source or None,
            "binds": signal.binds,
            "account": signal.account and signal.account[:LABEL_LENGTH],
            "until": None if until is None else clock.unix_ms() + int((until - clock.now()) * 1000),
            "rps": None if signal.rps is None else round(signal.rps, 3),
            "max_concurrent": signal.max_concurrent,
            "unit": signal.unit,
            "remaining": None if signal.remaining is None else round(signal.remaining, 3),
        }


def _pauses_all(signal: dict[str, Any]) -> bool:
    return signal["kind"] is ActiveLimitKind.PAUSE and signal["binds"] is Scope.DOMAIN


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
    "signals": [],
    "paused_until": None,
    "account_queues": None,
    "in_flight": 0,
    "waiting": 0,
    "waiting_yours": 0,
    "next_start_in_s": 0.0,
    "regions": {},
}
