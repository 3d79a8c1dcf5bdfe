"""What a strict server's log says about the pace that it was sent at. Pure; times are monotonic seconds."""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.strict_rules import Kind, Limit
from bench.strict_server import Arrival, Plan

FULL = 0.95
SETTLED_AFTER_S = 10.0
CURVE_STEP_S = 0.1
STATED_SHOWN_S = 30.0
"""Before that it is the same all the time."""
UNKNOWN_SHOWN_S = 60.0
STEADY, LOWERED, RAISED = range(3)


@dataclass(frozen=True, slots=True)
class Told:
    """What the service tells of a request: when its permit was granted, and when its answer had been read."""

    granted_at: float
    read_at: float


LookUp = Callable[[Arrival], Told]


@dataclass(slots=True)
class Found:
    """One server's figures; None where its plan has no such phase.

    ``most`` is the largest number of requests in any rolling second, or at once where places are counted.
    ``curve``: see ``rolling_counts``; ``limits`` are the limits beside it, each with the second of its first
    request.

    ``before_header`` counts the requests at the default pace, before the first answer was read; they are in
    ``requests`` and ``refused``, not in ``used``. ``changeover_refused`` are refusals after a limit's fall of
    what started, or had its permit and was on its way, before the answer that told it had been read.
    ``over_lowered`` is what was too much from then on: refusals of later permits, or starts over the limit in
    any window, whichever is more.
    """

    name: str
    kind: Kind
    dialect: str
    requests: int
    refused: int
    before_header: int
    most: int
    used: float
    changeover_refused: int | None = None
    over_lowered: int | None = None
    back_at_full_s: float | None = None
    curve: list[tuple[float, int]] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)


def judge(plan: Plan, arrivals: Sequence[Arrival], look_up: LookUp) -> Found:
    """Sum up the log of a server that states its limit."""
    steady = [arrival for arrival in arrivals if arrival.phase == STEADY]
    end = arrivals[-1].at
    knows_at = look_up(_first_telling(arrivals, STEADY)).read_at
    measured = [arrival for arrival in steady if arrival.at > knows_at]
    found = Found(
        plan.name,
        plan.kind,
        plan.dialect,
        requests=len(steady),
        refused=_refused(steady),
        before_header=len(steady) - len(measured),
        most=most_at_once(steady)
        if plan.kind is Kind.CONCURRENCY
        else most_in_any_window(_times(steady), 1.0),
        used=_used(plan, measured, arrivals),
        curve=rolling_counts(_times(arrivals), max(arrivals[0].at, end - STATED_SHOWN_S), end),
        limits=_limits(plan, arrivals),
    )
    if len(plan.phases) > RAISED:
        _judge_changes(found, plan, arrivals, look_up)
    return found


def judge_unknown(plan: Plan, arrivals: Sequence[Arrival]) -> Found:
    """Sum up the log of a server that says nothing, from ten seconds after the first request to the last
    time that a job was tried for the first time: so long work waited.
    """
    began = arrivals[0].at
    settled_at = began + SETTLED_AFTER_S
    end = max(arrival.at for arrival in arrivals if arrival.attempt == 1)
    settled = [arrival for arrival in arrivals if settled_at <= arrival.at < end]
    admitted = [arrival.at for arrival in arrivals if arrival.admitted]
    share = (len(settled) - _refused(settled)) / (plan.phases[0].limit.rps * (end - settled_at))
    return Found(
        plan.name,
        plan.kind,
        plan.dialect,
        requests=len(settled),
        refused=_refused(settled),
        before_header=len(arrivals) - len(settled),
        most=most_in_any_window(_times(settled), 1.0),
        used=share,
        curve=rolling_counts(admitted, began, min(end, began + UNKNOWN_SHOWN_S)),
        limits=_limits(plan, arrivals),
    )


def most_in_any_window(times: Sequence[float], window_s: float) -> int:
    """Count the times in the fullest window, its end not counted."""
    most = first = 0
    for index, at in enumerate(times):
        while times[first] <= at - window_s:
            first += 1
        most = max(most, index - first + 1)
    return most


def most_at_once(arrivals: Sequence[Arrival]) -> int:
    """Count the requests under way, refused ones left out, when they were most."""
    return max(itertools.accumulate(change for _, change in sorted(_changes(arrivals))), default=0)


def rolling_counts(times: Sequence[float], since: float, until: float) -> list[tuple[float, int]]:
    """Count the times in the second before each tenth of a second between two moments; seconds count from
    the first time.
    """
    steps = range(int((until - since) / CURVE_STEP_S) + 1)
    return [
        (round(at - times[0], 1), bisect_right(times, at) - bisect_right(times, at - 1))
        for at in (since + step * CURVE_STEP_S for step in steps)
    ]


def excess(times: Sequence[float], limit: Limit) -> int:
    """Count the times at which the window that ends there held more than the limit lets in."""
    most = limit.most
    return sum(late - early < limit.window_s for early, late in zip(times, times[most:], strict=False))


def full_after_s(times: Sequence[float], limit: Limit, since: float) -> float:
    """Say how long after ``since`` the first window was full, to FULL; infinite where none was."""
    needed = math.ceil(limit.count * FULL)
    after = [at for at in times if at > since]
    for early, late in zip(after, after[needed - 1 :], strict=False):
        if late - early < limit.window_s:
            return late - since
    return math.inf


def busy_share(arrivals: Sequence[Arrival], places: int, since: float, until: float) -> float:
    """Say which share of the places was taken, on average."""
    taken = sum(
        max(0.0, min(until, arrival.answered_at) - max(since, arrival.at))
        for arrival in arrivals
        if arrival.admitted
    )
    return taken / (places * (until - since))


def _judge_changes(found: Found, plan: Plan, arrivals: Sequence[Arrival], look_up: LookUp) -> None:
    lowered_at, raised_at = (look_up(_first_telling(arrivals, phase)).read_at for phase in (LOWERED, RAISED))
    lowered = [arrival for arrival in arrivals if arrival.phase == LOWERED]
    after = [arrival for arrival in lowered if arrival.at > lowered_at]
    knowing = sum(not each.admitted and look_up(each).granted_at > lowered_at for each in after)
    found.changeover_refused = _refused(lowered) - knowing
    by_places = plan.kind is Kind.CONCURRENCY
    limit = plan.phases[LOWERED].limit
    # A server that counts places refuses exactly what is over the limit.
    found.over_lowered = knowing if by_places else max(knowing, excess(_times(after), limit))
    limit = plan.phases[RAISED].limit
    found.back_at_full_s = (
        _places_full_after_s(arrivals, limit.count, raised_at)
        if by_places
        else full_after_s(_times(arrivals), limit, raised_at)
    )


def _places_full_after_s(arrivals: Sequence[Arrival], places: int, since: float) -> float:
    taken = 0
    for at, change in sorted(_changes(arrivals)):
        taken += change
        if at > since and taken >= places * FULL:
            return at - since
    return math.inf


def _changes(arrivals: Sequence[Arrival]) -> Iterator[tuple[float, int]]:
    for arrival in arrivals:
        if arrival.admitted:
            yield arrival.at, 1
            yield arrival.answered_at, -1


def _limits(plan: Plan, arrivals: Sequence[Arrival]) -> list[tuple[float, int]]:
    first = {arrival.phase: arrival.at - arrivals[0].at for arrival in reversed(arrivals)}
    return [(round(at, 1), plan.phases[phase].limit.count) for phase, at in sorted(first.items())]


def _used(plan: Plan, measured: Sequence[Arrival], arrivals: Sequence[Arrival]) -> float:
    since, until = measured[0].at, measured[-1].at
    limit = plan.phases[STEADY].limit
    if plan.kind is Kind.CONCURRENCY:
        return busy_share(arrivals, limit.count, since, until)
    admitted = len(measured) - _refused(measured)
    return (admitted - 1) / (limit.rps * (until - since))


def _first_telling(arrivals: Sequence[Arrival], phase: int) -> Arrival:
    return min(
        (arrival for arrival in arrivals if arrival.told == phase), key=lambda arrival: arrival.answered_at
    )


def _refused(arrivals: Sequence[Arrival]) -> int:
    return sum(not arrival.admitted for arrival in arrivals)


def _times(arrivals: Sequence[Arrival]) -> list[float]:
    return [arrival.at for arrival in arrivals]
