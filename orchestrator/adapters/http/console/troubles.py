"""What is wrong now, in words, the worst first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.pace.active_limits import ActiveLimitKind

LONG_WAIT_S = 30.0


class Severity(IntEnum):
    """How bad it is."""

    CRITICAL = 0
    """Work stands still, or is lost."""
    WARNING = 1
    """It goes on, more slowly or elsewhere."""
    NOTICE = 2
    """Somebody wanted it so."""


class Trouble(Struct, frozen=True, kw_only=True):
    """What is wrong, what follows, and where to look on."""

    severity: Severity
    what: str
    follows: str
    where: str


def troubles_of(
    reason: str,
    regions: Iterable[Mapping[str, Any]],
    domains: Iterable[Mapping[str, Any]],
    receivers: Iterable[Mapping[str, Any]],
) -> Sequence[Trouble]:
    """List what is wrong.

    Args:
        reason: Why the service is not ready; empty where it is.
        regions: Their documents.
        domains: Documents of targets.
        receivers: Documents of receivers to whom deliveries are still to be made.
    """
    found = [*_of_service(reason), *_of_regions(regions), *_of_domains(domains), *_of_receivers(receivers)]
    return sorted(found, key=lambda trouble: trouble.severity)


def _of_service(reason: str) -> Iterator[Trouble]:
    if reason:
        yield Trouble(
            severity=Severity.CRITICAL,
            what=f"The service is not ready: {reason}",
            follows="Submissions may be refused until it is.",
            where=f"{ROOT}/regions",
        )


def _of_regions(regions: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    for region in regions:
        name, health = region["region"], region["health"]
        where = f"{ROOT}/regions#{name}"
        if health != RegionHealth.UP:
            yield Trouble(
                severity=Severity.CRITICAL if health == RegionHealth.DOWN else Severity.WARNING,
                what=f"Region {name} is {health}: {region['reason'] or 'it is not heard'}",
                follows="Its jobs run in other regions, unless they may run nowhere else.",
                where=where,
            )
        elif region["draining_since"]:
            yield Trouble(
                severity=Severity.NOTICE,
                what=f"Region {name} drains",
                follows="Nothing new is placed there until an operator lets it take work again.",
                where=where,
            )


def _of_domains(domains: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    for domain in domains:
        found = _of_domain(domain)
        if found is not None:
            yield found


def _of_domain(domain: Mapping[str, Any]) -> Trouble | None:
    name, waiting, limit = domain["domain"], domain["waiting"], domain["limited_by"]
    where = f"{ROOT}/domains/{quote(name)}"
    operator = domain["operator"] or {}
    if operator.get("paused_at"):
        told = f"{name} is paused by an operator", Severity.NOTICE
    elif limit and limit["kind"] == ActiveLimitKind.BREAKER:
        told = f"{name} does not answer: {limit['source'] or 'its breakers are open'}", Severity.CRITICAL
    elif limit and waiting and (domain["next_start_in_s"] or 0) >= LONG_WAIT_S:
        told = f"{name} is held back by {limit['source'] or limit['kind']}", Severity.WARNING
    else:
        return None
    return Trouble(
        severity=told[1],
        what=told[0],
        follows=f"{_counted(waiting, 'request waits', 'requests wait')} for it.",
        where=where,
    )


def _of_receivers(receivers: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    for receiver in receivers:
        if receiver["failing"]:
            reason = receiver["error"] or f"it answers {receiver['status_code']}"
            failing = _counted(receiver["failing"], "delivery fails", "deliveries fail")
            yield Trouble(
                severity=Severity.WARNING,
                what=f"Receiver {receiver['endpoint']} takes no webhooks: {reason}",
                follows=f"{failing}, to be tried again.",
                where=f"{ROOT}/webhooks?endpoint={quote(receiver['endpoint'])}",
            )


def _counted(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
