"""A job under way: its legs and its attempts.

Pure: each function takes a run and gives the next one. What an attempt's end leads to is decided in
``domain.execution.settling``.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.ids import AttemptId, NodeName, RegionName
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.waiting import still_to_wait_ms

ATTEMPTS_KEPT = 200
"""A job may wait out an outage for days: its timeline keeps the first and the last of its attempts."""

LAST_SEEN_BYTES = 64 * 1024
FANOUT_BYTES = 16 * 1024 * 1024
"""Of the bodies of all answers that a fan-out tells of: each leg's has an equal share."""


class LegState(StrEnum):
    """Where a leg stands."""

    WAITING = "waiting"
    UNDER_WAY = "under way"
    WON = "won"
    ENDED = "ended"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Never sent: its race was won before its permit came, or its step was left for a fallback."""

    @property
    def over(self) -> bool:
        """Whether the leg can't change any more."""
        return self not in (LegState.WAITING, LegState.UNDER_WAY)


class Leg(Struct, frozen=True, kw_only=True):
    """One line of a job through one region at a time. ``repeats`` counts for the backoff."""

    region: RegionName
    state: LegState = LegState.WAITING
    repeats: int = 0
    not_before_ms: int = 0


Site = tuple[NodeName | None, str | None]
"""A node and its address, where they are known."""
NOWHERE: Site = (None, None)


class Attempt(Struct, frozen=True, kw_only=True):
    """One request to the target. Times are Unix ms; ``closed_ms`` is when its connection was given up.
    ``written`` is False only where the target certainly saw nothing. ``node`` and ``address`` say on which of
    the region's nodes it ran, as far as that is known. ``write_ms`` and ``wait_ms`` are durations, as
    ``exchange.Phases`` has them, where the job belongs to a trace.
    """

    id: AttemptId
    number: int
    leg: int
    region: RegionName
    granted_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None
    closed_ms: int | None = None
    status: int | None = None
    fault: Fault | None = None
    written: bool = True
    verdict: Verdict | None = None
    node: NodeName | None = None
    address: str | None = None
    write_ms: float | None = None
    wait_ms: float | None = None


class Answer(Struct, frozen=True):
    """A response that did not win, kept in case the job fails with it, or fans out. ``region`` is where it
    came from; ``asked``, of a fan-out, for which listed region that one ran, or stood in.
    """

    region: RegionName
    response: HttpResponse
    asked: RegionName | None = None


class Run(Struct, frozen=True, kw_only=True):
    """Everything that has to survive a crash about a job under way. ``crashes`` counts the times
    that the service died while an attempt of the job was open, since one last came to its own end.
    """

    legs: tuple[Leg, ...]
    attempts: tuple[Attempt, ...] = ()
    made: int = 0
    retries: int = 0
    reroutes: int = 0
    used_regions: frozenset[RegionName] = frozenset()
    answers: tuple[Answer, ...] = ()
    last_seen: Answer | None = None
    """The latest response that ended nothing, its body cut to LAST_SEEN_BYTES."""
    crashes: int = 0
    forgotten_written: bool = False
    """Whether a target may have seen one of the attempts that are not kept any more."""

    @property
    def written(self) -> bool:
        """Whether a target may have seen anything."""
        return self.forgotten_written or any(attempt.written for attempt in self.attempts)


def begin(spec: JobSpec) -> Run:
    """Plan a job's legs: one a region where several run at once, else one in the first region."""
    regions = spec.regions if spec.execution_mode.conduct.together else spec.regions[:1]
    return Run(legs=tuple(Leg(region=region) for region in regions))


def dispatch(
    run: Run,
    leg: int,
    attempt: AttemptId,
    region: RegionName,
    now_ms: int,
    number: int | None = None,
    at: Site = NOWHERE,
) -> tuple[Run, Attempt]:
    """Record that a leg's attempt goes out in ``region``, ``at`` one of its nodes; ``number`` counts per job,
    by default per run.
    """
    number = run.made + 1 if number is None else number
    node, address = at
    record = Attempt(
        id=attempt, number=number, leg=leg, region=region, granted_ms=now_ms, node=node, address=address
    )
    run = set_leg(run, leg, region=region, state=LegState.UNDER_WAY)
    run = replace(
        run,
        attempts=(*run.attempts, record),
        made=run.made + 1,
        used_regions=run.used_regions | {region},
    )
    return _bounded(run), record


def add_hedge(run: Run, spec: JobSpec) -> tuple[Run, int | None]:
    """A leg is late: plan one more, in the next listed region where the job has, and had, none. Gives its
    index, None where no region is left.
    """
    free = hedge_regions(run.legs, run.used_regions, spec.regions)
    if not free:
        return run, None
    return replace(run, legs=(*run.legs, Leg(region=free[0]))), len(run.legs)


def hedge_regions(
    legs: Sequence[Leg], used: frozenset[RegionName], listed: Sequence[RegionName]
) -> list[RegionName]:
    """Name the regions where a hedge may begin one more leg: there are never more legs than listed regions,
    wherever they run.
    """
    return untried_regions(legs, used, listed) if len(legs) < len(listed) else []


def untried_regions(
    legs: Iterable[Leg], used: frozenset[RegionName], listed: Iterable[RegionName]
) -> list[RegionName]:
    """Name the listed regions where the job has, and had, no leg: a hedge, whose legs are planned one at a
    time, may still go there.
    """
    taken = used | {leg.region for leg in legs}
    return [region for region in listed if region not in taken]


def note_start(run: Run, attempt: AttemptId, started_ms: int) -> Run:
    """Record when an attempt's first byte was written."""
    return update_attempt(run, attempt, started_ms=started_ms)


def note_close(run: Run, attempt: AttemptId, closed_ms: int) -> Run:
    """Record when a cancelled attempt's connection was closed."""
    return update_attempt(run, attempt, closed_ms=closed_ms)


def lose_all(run: Run, *, crashed: bool, written: bool = True) -> Run:
    """The service ended with attempts open: their legs wait again. That it has ``crashed`` is counted.
    ``written``: their targets may have seen them.
    """
    if not any(leg.state is LegState.UNDER_WAY for leg in run.legs):
        return run
    legs = tuple(
        replace(leg, state=LegState.WAITING) if leg.state is LegState.UNDER_WAY else leg for leg in run.legs
    )
    attempts = tuple(
        a if a.verdict else replace(a, fault=Fault.LOST, verdict=Verdict.WAIT, written=written)
        for a in run.attempts
    )
    return replace(run, legs=legs, attempts=attempts, crashes=run.crashes + crashed)


def repeats_in_ms(run: Run, leg: int, now_ms: int) -> int:
    """Say how long a leg still waits before it goes again: asked when that begins, and by the service's next
    life.
    """
    ends = [a.ended_ms for a in run.attempts if a.leg == leg and a.ended_ms is not None]
    until_ms = run.legs[leg].not_before_ms
    return still_to_wait_ms(until_ms, max(ends, default=until_ms), now_ms)


def waiting_legs(run: Run) -> list[int]:
    """Indexes of the legs that wait for a permit."""
    return [index for index, leg in enumerate(run.legs) if leg.state is LegState.WAITING]


def open_attempts(run: Run) -> list[Attempt]:
    """Attempts whose end is not known."""
    return [attempt for attempt in run.attempts if attempt.verdict is None]


def abandon(run: Run, now_ms: int) -> Run:
    """End every leg that is not over, and every attempt whose end is not known."""
    if all(leg.state.over for leg in run.legs) and all(a.verdict for a in run.attempts):
        return run
    sent = {a.leg for a in run.attempts}
    legs = tuple(_closed(leg, index in sent) for index, leg in enumerate(run.legs))
    attempts = tuple(
        a if a.verdict else replace(a, ended_ms=now_ms, fault=Fault.CANCELLED, verdict=Verdict.END)
        for a in run.attempts
    )
    return replace(run, legs=legs, attempts=attempts)


def _closed(leg: Leg, sent: bool) -> Leg:
    match leg.state:
        case LegState.UNDER_WAY:
            return replace(leg, state=LegState.CANCELLED)
        case LegState.WAITING:
            return replace(leg, state=LegState.CANCELLED if sent else LegState.SKIPPED)
        case LegState.WON | LegState.ENDED | LegState.CANCELLED | LegState.SKIPPED:
            return leg
        case _:
            assert_never(leg.state)


def leave(run: Run) -> Run:
    """End the legs that wait, for the job goes on elsewhere."""
    sent = {a.leg for a in run.attempts}
    legs = tuple(
        replace(leg, state=LegState.ENDED if index in sent else LegState.SKIPPED)
        if leg.state is LegState.WAITING
        else leg
        for index, leg in enumerate(run.legs)
    )
    return replace(run, legs=legs)


def find_attempt(run: Run, attempt: AttemptId) -> Attempt | None:
    """Look an attempt up, the latest first."""
    return next((a for a in reversed(run.attempts) if a.id == attempt), None)


def update_attempt(run: Run, attempt: AttemptId, **changes: Any) -> Run:
    """Change what is recorded of one attempt."""
    attempts = tuple(replace(a, **changes) if a.id == attempt else a for a in run.attempts)
    return replace(run, attempts=attempts)


def set_leg(run: Run, index: int, **changes: Any) -> Run:
    """Change one leg."""
    leg = replace(run.legs[index], **changes)
    return replace(run, legs=(*run.legs[:index], leg, *run.legs[index + 1 :]))


def _bounded(run: Run) -> Run:
    if len(run.attempts) <= ATTEMPTS_KEPT:
        return run
    half = ATTEMPTS_KEPT // 2
    between = run.attempts[half:-half]
    # One that is still open stays: its end could not be recorded, and its leg would wait for ever.
    kept = (*run.attempts[:half], *(a for a in between if a.verdict is None), *run.attempts[-half:])
    written = run.forgotten_written or any(a.written for a in between if a.verdict is not None)
    return replace(run, attempts=kept, forgotten_written=written)
