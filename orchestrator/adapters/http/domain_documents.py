"""A target domain as the API shows it: what holds there now and why, its queue, and the routes to it."""

import math
from typing import Any

from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.shard import Shard
from orchestrator.domain.active_limits import OPERATOR, ActiveLimit, ActiveLimitKind, Scope
from orchestrator.domain.effective_pace import EffectivePace
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.known_domains import ANY_OTHER
from orchestrator.domain.overruling import Overruling
from orchestrator.domain.roles import Caller

LABEL_LENGTH = 12
"""Digits of an account's hash that are enough to tell a customer's own accounts apart."""


def domain_document(shard: Shard, caller: Caller, name: TargetDomain) -> dict[str, Any]:
    """Show a target to a customer, or whole to an admin. Times are Unix ms; ``next_start_in_s`` is null while
    nobody knows.
    """
    domain = shard.domains.look(name)
    view, whose = shard.view(domain), None if caller.admin else caller.customer
    signals = [_signal(shard, caller, signal) for signal in view.signals(whose)]
    effective = view.effective(whose)
    stated = _stated(shard, name, domain, view.overruling)
    next_start_s = view.next_start_s(whose)
    return {
        "domain": name,
        "pace": _rounded(effective, stated["set_by"]),
        "limited_by": effective.limit and _signal(shard, caller, effective.limit),
        "stated": stated,
        "operator": _operator(view.overruling, caller),
        "signals": signals,
        "paused_until": max((s["until"] for s in signals if _pauses_all(s)), default=None),
        "account_queues": domain.account_queues,
        "in_flight": domain.in_flight,
        "waiting": domain.waiting,
        "waiting_yours": domain.waiting_of(caller.customer),
        "next_start_in_s": round(next_start_s, 3) if math.isfinite(next_start_s) else None,
        "regions": shard.routes.domain_view(name),
    }


def _rounded(effective: EffectivePace, stated_by: str) -> dict[str, Any]:
    limit = effective.limit
    set_by = stated_by if limit is None else "operator" if limit.source == OPERATOR else "target"
    return {
        "rps": round(effective.rps, 3),
        "max_concurrent": effective.max_concurrent,
        "set_by": set_by,
    }


def _stated(shard: Shard, name: TargetDomain, domain: DomainLimiter, said: Overruling) -> dict[str, Any]:
    """Show the pace that the operator set or the target stated, refusals and waits apart."""
    unknown = shard.options.known.policy(name) is ANY_OTHER
    begun_by = "target" if domain.steered else "default" if unknown else "operator"
    return {
        "rps": domain.pace.rps,
        "max_concurrent": domain.pace.max_concurrent,
        "set_by": "operator" if said.pace is not None else begun_by,
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


def _signal(shard: Shard, caller: Caller, signal: ActiveLimit) -> dict[str, Any]:
    clock, until = shard.clock, signal.until
    # A path may hold a secret of whoever calls it.
    hidden = (
        signal.binds is Scope.PATH and not caller.admin and signal.customer not in (None, caller.customer)
    )
    document = {
        "kind": signal.kind,
        "source": None if hidden else signal.source or None,
        "binds": signal.binds,
        "account": signal.account and signal.account[:LABEL_LENGTH],
        "until": None if until is None else clock.unix_ms() + int((until - clock.now()) * 1000),
        "rps": None if signal.rps is None else round(signal.rps, 3),
        "max_concurrent": signal.max_concurrent,
        "unit": signal.unit,
        "remaining": None if signal.remaining is None else round(signal.remaining, 3),
    }
    return document | {"customer": signal.customer} if caller.admin else document


def _pauses_all(signal: dict[str, Any]) -> bool:
    told = signal["kind"] is ActiveLimitKind.PAUSE and signal["binds"] is Scope.DOMAIN
    return told and signal["until"] is not None


def named_customer(caller: Caller) -> CustomerId | None:
    """Say whose targets a caller sees; None: everybody's."""
    return None if caller.admin else caller.customer
