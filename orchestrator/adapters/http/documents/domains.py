"""A target domain: what holds there now and why, its queue, and the routes to it."""

import math
from typing import Any

from orchestrator.adapters.http.paging import encode_cursor
from orchestrator.core.views import DomainPage, DomainView, PaceSource, RouteView
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.pace.active_limits import OPERATOR, ActiveLimit, ActiveLimitKind, Scope
from orchestrator.domain.pace.overruling import Overruling

LABEL_LENGTH = 12
"""Digits of an account's hash that are enough to tell a customer's own accounts apart."""


def domain_document(view: DomainView, caller: Caller) -> dict[str, Any]:
    """Show a target to a customer, or whole to an admin. Times are Unix ms; ``next_start_in_s`` is null while
    nobody knows.
    """
    signals = [_signal(view, caller, signal) for signal in view.signals]
    limit, next_start_s = view.effective.limit, view.next_start_s
    return {
        "domain": view.name,
        "pace": _effective(view),
        "limited_by": limit and _signal(view, caller, limit),
        "stated": {
            "rps": view.stated.rps,
            "max_concurrent": view.stated.max_concurrent,
            "set_by": view.stated_by,
        },
        "operator": _operator(view.overruling, caller),
        "signals": signals,
        "paused_until": max((s["until"] for s in signals if _pauses_all(s)), default=None),
        "account_queues": view.account_queues,
        "in_flight": view.in_flight,
        "waiting": view.waiting,
        "waiting_yours": view.waiting_yours,
        **({"waiting_most": dict(view.longest)} if caller.admin else {}),
        "next_start_in_s": round(next_start_s, 3) if math.isfinite(next_start_s) else None,
        "regions": {region: _route(route) for region, route in view.routes.items()},
    }


def domains_document(page: DomainPage, caller: Caller) -> dict[str, Any]:
    """Show a page of targets."""
    domains = [domain_document(view, caller) for view in page.domains]
    return {
        "domains": domains,
        "next_cursor": encode_cursor(page.domains[-1].name) if page.more else None,
    }


def _effective(view: DomainView) -> dict[str, Any]:
    """Show the pace that holds."""
    limit, set_by = view.effective.limit, view.stated_by
    if limit is not None:
        set_by = PaceSource.OPERATOR if limit.source == OPERATOR else PaceSource.TARGET
    return {
        "rps": round(view.effective.rps, 3),
        "max_concurrent": view.effective.max_concurrent,
        "set_by": set_by,
    }


def _route(route: RouteView) -> dict[str, Any]:
    """Show a region's way to the target; times in s."""
    cause = route.cause
    return {
        "breaker": route.breaker,
        "opened_by": (cause.status or cause.fault) if cause else None,
        "answers": route.answers,
        "failures": route.failures,
        "latency_s": None if route.latency_s is None else round(route.latency_s, 4),
        "late_after_s": None if route.late_after_s is None else round(route.late_after_s, 4),
    }


def _operator(said: Overruling, caller: Caller) -> dict[str, Any] | None:
    """Show what the operator said; the ids of keys are shown to admins alone."""
    if not said:
        return None
    pace, pause = said.pace, said.pause
    document: dict[str, Any] = {
        "paused_at": pause.at_ms if pause else None,
        "rps": pace.rps if pace else None,
        "max_concurrent": pace.max_concurrent if pace else None,
        "until": pace.until_ms if pace else None,
        "set_at": pace.at_ms if pace else None,
    }
    if caller.admin:
        document |= {"paused_by": pause.by if pause else None, "set_by": pace.by if pace else None}
    return document


def _signal(view: DomainView, caller: Caller, signal: ActiveLimit) -> dict[str, Any]:
    # A path may hold a secret of whoever calls it.
    hidden = (
        signal.binds is Scope.PATH and not caller.admin and signal.customer not in (None, caller.customer)
    )
    document = {
        "kind": signal.kind,
        "source": None if hidden else signal.source or None,
        "binds": signal.binds,
        "account": signal.account and signal.account[:LABEL_LENGTH],
        "until": None if signal.until is None else view.unix_ms(signal.until),
        "rps": None if signal.rps is None else round(signal.rps, 3),
        "max_concurrent": signal.max_concurrent,
        "unit": signal.unit,
        "remaining": None if signal.remaining is None else round(signal.remaining, 3),
    }
    return document | {"customer": signal.customer} if caller.admin else document


def _pauses_all(signal: dict[str, Any]) -> bool:
    told = signal["kind"] is ActiveLimitKind.PAUSE and signal["binds"] is Scope.DOMAIN
    return told and signal["until"] is not None
