"""A job's legs as bars beside each other: when each waited, connected, was answered or closed, and who won.

It is drawn of the job's document, as the API shows it; times are Unix ms.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from orchestrator.adapters.http.console.wording import span

WIDTH = 1000.0
"""Of a bar, in the units that places and widths are in."""
WAIT_SHARE_MOST = 0.3
"""What was waited before the first start may take so much of the picture."""
TICKS = 4
LEAST_MS = 5
_NICE = (1, 2, 5)


class Phase(StrEnum):
    """What a stretch of a bar was spent with."""

    WAIT = "wait"
    """For a permit, or for the next try."""
    CONNECT = "connect"
    """From the permit to the request's first byte."""
    ANSWER = "answer"
    """From there to the answer, or to whatever ended it."""
    CLOSE = "close"
    """From being cancelled until the connection was closed."""


class Outcome(StrEnum):
    """What became of a leg, or of one of its attempts."""

    WON = "won"
    ANSWERED = "answered"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    REROUTED = "rerouted"
    FAILED = "failed"
    SKIPPED = "skipped"
    RUNNING = "running"
    WAITING = "waiting"


class Stretch(Struct, frozen=True, kw_only=True):
    """A part of a bar."""

    phase: Phase
    outcome: Outcome
    x: float
    width: float
    says: str


class Lane(Struct, frozen=True, kw_only=True):
    """A leg. ``says`` tells in words what the bar shows."""

    region: str
    step: str
    outcome: Outcome
    stretches: tuple[Stretch, ...]
    says: str


class Tick(Struct, frozen=True):
    """A mark on the axis: its place, and how long after the axis began."""

    x: float
    ms: int


class Race(Struct, frozen=True, kw_only=True):
    """The picture. ``begins_ms`` is where its axis begins, ``waited_ms`` what was waited before that."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    begins_ms: int
    length_ms: int
    waited_ms: int


_BY_VERDICT: Mapping[str, Outcome] = {
    "success": Outcome.WON,
    "retry": Outcome.RETRIED,
    "wait": Outcome.RETRIED,
    "reroute": Outcome.REROUTED,
}
_BY_LEG: Mapping[str, Outcome] = {
    "waiting": Outcome.WAITING,
    "under_way": Outcome.RUNNING,
    "won": Outcome.WON,
    "cancelled": Outcome.CANCELLED,
    "skipped": Outcome.SKIPPED,
}


def race_of(job: Mapping[str, Any], now_ms: int) -> Race | None:
    """Draw a job as it is at ``now_ms``; None where no leg has begun to wait."""
    timeline = job["timeline"]
    legs: Sequence[Mapping[str, Any]] = timeline["legs"]
    if not legs:
        return None
    attempts: Sequence[Mapping[str, Any]] = timeline["attempts"]
    axis = _axis(job, attempts, now_ms)
    lanes = tuple(_lane(leg, _of_leg(leg, attempts), axis) for leg in legs)
    waited_ms = axis.begins_ms - job["accepted_at"]
    return Race(
        lanes=lanes,
        ticks=tuple(axis.ticks()),
        begins_ms=axis.begins_ms,
        length_ms=axis.length_ms,
        waited_ms=max(0, waited_ms),
    )


class _Axis(Struct, frozen=True, kw_only=True):
    begins_ms: int
    ends_ms: int

    @property
    def length_ms(self) -> int:
        return self.ends_ms - self.begins_ms

    def place(self, at_ms: float) -> float:
        share = (at_ms - self.begins_ms) / self.length_ms
        return round(WIDTH * min(max(share, 0.0), 1.0), 1)

    def ticks(self) -> Iterator[Tick]:
        step = _nice(self.length_ms / TICKS)
        for ms in range(0, self.length_ms + 1, step):
            yield Tick(self.place(self.begins_ms + ms), ms)


def _axis(job: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]], now_ms: int) -> _Axis:
    accepted_ms: int = job["accepted_at"]
    ends = [a[at] for a in attempts for at in ("granted_at", "ended_at", "closed_at") if a[at] is not None]
    ends_ms = max([accepted_ms + LEAST_MS, *ends, job["ended_at"] or now_ms])
    starts_ms = min((a["granted_at"] for a in attempts), default=accepted_ms)
    shown_ms = int((ends_ms - starts_ms) * WAIT_SHARE_MOST / (1 - WAIT_SHARE_MOST))
    begins_ms = max(accepted_ms, starts_ms - max(shown_ms, LEAST_MS)) if attempts else accepted_ms
    return _Axis(begins_ms=begins_ms, ends_ms=ends_ms)


def _nice(ms: float) -> int:
    power = 1
    while True:
        for factor in _NICE:
            if factor * power >= ms:
                return factor * power
        power *= 10


def _of_leg(leg: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [a for a in attempts if (a["step"], a["leg"]) == (leg["step"], leg["leg"])]


def _lane(leg: Mapping[str, Any], attempts: list[Mapping[str, Any]], axis: _Axis) -> Lane:
    outcome = _outcome_of_leg(leg, attempts)
    return Lane(
        region=leg["region"],
        step=leg["step"],
        outcome=outcome,
        stretches=tuple(_stretches(outcome, attempts, axis)),
        says=_told(outcome, attempts),
    )


def _outcome_of_leg(leg: Mapping[str, Any], attempts: list[Mapping[str, Any]]) -> Outcome:
    told = _BY_LEG.get(leg["state"])
    if told is not None:
        return told
    answered = bool(attempts) and attempts[-1]["verdict"] == "success"
    return Outcome.ANSWERED if answered else Outcome.FAILED


def outcome_of(attempt: Mapping[str, Any]) -> Outcome:
    """Say what became of an attempt."""
    if attempt["fault"] == "cancelled":
        return Outcome.CANCELLED
    if attempt["verdict"] is None:
        return Outcome.RUNNING
    return _BY_VERDICT.get(attempt["verdict"], Outcome.FAILED)


def _stretches(outcome: Outcome, attempts: list[Mapping[str, Any]], axis: _Axis) -> Iterator[Stretch]:
    at_ms = axis.begins_ms
    for attempt in attempts:
        how, granted_ms = outcome_of(attempt), attempt["granted_at"]
        yield from _stretch(axis, Phase.WAIT, how, at_ms, granted_ms)
        ended_ms = attempt["ended_at"] or axis.ends_ms
        started_ms = attempt["started_at"] or ended_ms
        yield from _stretch(axis, Phase.CONNECT, how, granted_ms, min(started_ms, ended_ms))
        yield from _stretch(axis, Phase.ANSWER, how, started_ms, ended_ms)
        closed_ms = attempt["closed_at"] if how is Outcome.CANCELLED else None
        yield from _stretch(axis, Phase.CLOSE, how, ended_ms, closed_ms or ended_ms)
        at_ms = closed_ms or ended_ms
    if outcome in (Outcome.WAITING, Outcome.SKIPPED):
        yield from _stretch(axis, Phase.WAIT, outcome, at_ms, axis.ends_ms)


_SAID: Mapping[Phase, str] = {
    Phase.WAIT: "waited",
    Phase.CONNECT: "connected in",
    Phase.ANSWER: "under way for",
    Phase.CLOSE: "closed within",
}


def _stretch(axis: _Axis, phase: Phase, outcome: Outcome, from_ms: int, to_ms: int) -> Iterator[Stretch]:
    if to_ms <= from_ms:
        return
    x = axis.place(from_ms)
    yield Stretch(
        phase=phase,
        outcome=outcome,
        x=x,
        width=round(max(axis.place(to_ms) - x, 1.0), 1),
        says=f"{_SAID[phase]} {span(to_ms - from_ms)}",
    )


def _told(outcome: Outcome, attempts: list[Mapping[str, Any]]) -> str:
    last = attempts[-1] if attempts else None
    if last is None:
        return "never sent: no permit came in time" if outcome is Outcome.SKIPPED else "waits for its permit"
    how = f"answered {last['status_code']}" if last["status_code"] else last["fault"] or "no answer yet"
    tries = f", {len(attempts)} attempts" if len(attempts) > 1 else ""
    if outcome is Outcome.CANCELLED:
        return f"cancelled{_closed(last)}{tries}"
    took = "" if last["ended_at"] is None else f" after {span(last['ended_at'] - last['granted_at'])}"
    return f"{how}{took}{tries}"


def _closed(attempt: Mapping[str, Any]) -> str:
    if attempt["closed_at"] is None or attempt["ended_at"] is None:
        return ""
    return f", closed {span(max(0, attempt['closed_at'] - attempt['ended_at']))} later"
