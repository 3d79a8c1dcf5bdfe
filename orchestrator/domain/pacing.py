"""The pace of one target: how many requests may start in any window, and how many may be in flight.

A rolling-window log, not a token bucket: a bucket lets twice its size through in one window right
after a pause, and a target that counts in windows answers that with 429.
"""

import heapq
import math
from dataclasses import dataclass

from orchestrator.domain.signals import Signal

ARRIVAL_MARGIN_S = 0.02
"""Added to each window, so that jitter on the way can't make the target count one start too many."""
LAPSE_LEAST_S = 60.0
LAPSE_INTERVALS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """``rps`` requests per second and ``max_concurrent`` in flight."""

    rps: float = 2.0
    max_concurrent: int = 2

    @property
    def starts(self) -> int:
        """How many requests may start in any ``window_s``."""
        return max(1, math.floor(self.rps))

    @property
    def window_s(self) -> float:
        """Length of the rolling window: a second, or the interval of a pace below one per second."""
        return max(1.0, 1.0 / self.rps)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceCaps:
    """How far a target may raise its own pace."""

    rps: float = 100_000.0
    max_concurrent: int = 1_000


@dataclass(frozen=True, slots=True)
class PaceState:
    """The pace in force, and when a lowered one lapses (monotonic s; None: it does not)."""

    pace: Pace
    lapses_at: float | None = None


def steer(state: PaceState, signal: Signal, *, base: Pace, caps: PaceCaps, now: float) -> PaceState:
    """Apply what a response said. A pace below ``base`` lapses unless it is repeated in time, so
    that nobody can hold a target's domain down with one answer.
    """
    if signal.silent:
        return state
    pace = Pace(
        min(signal.rps or state.pace.rps, caps.rps),
        min(signal.max_concurrent or state.pace.max_concurrent, caps.max_concurrent),
    )
    lowered = pace.rps < base.rps or pace.max_concurrent < base.max_concurrent
    lapse_s = max(LAPSE_LEAST_S, LAPSE_INTERVALS * pace.window_s)
    return PaceState(pace, now + lapse_s if lowered else None)


class Limiter:
    """Grants permits to start. All times are monotonic seconds, given by the caller.

    A permit is pending until its start is known: only then does its window begin to run, so a
    request that was slow to start can't crowd the window after it. Grant and take-back are
    O(log n) in the starts per window.
    """

    __slots__ = ("_in_flight", "_last_start", "_next_permit", "_not_before", "_pending", "_starts", "pace")

    def __init__(self, pace: Pace, *, not_before: float = -math.inf) -> None:
        self.pace = pace
        self._starts: list[float] = []
        self._last_start = -math.inf
        self._pending: set[int] = set()
        self._in_flight: set[int] = set()
        self._next_permit = 0
        self._not_before = not_before

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return len(self._in_flight)

    def take(self, now: float) -> int | None:
        """Take a permit and a place in flight, or None where there is none now."""
        if self.next_at(now) != now:
            return None
        self._next_permit += 1
        self._pending.add(self._next_permit)
        self._in_flight.add(self._next_permit)
        return self._next_permit

    def started(self, permit: int, at: float) -> None:
        """The permit's request wrote its first byte at ``at``. Hearing it twice changes nothing."""
        if permit in self._pending:
            self._pending.discard(permit)
            heapq.heappush(self._starts, at)
            self._last_start = max(self._last_start, at)

    def unused(self, permit: int) -> None:
        """The permit comes back: nothing was written with it."""
        self._pending.discard(permit)
        self._in_flight.discard(permit)

    def closed(self, permit: int, now: float) -> None:
        """The request's connection is closed. A start never reported counts as one made now."""
        self.started(permit, now)
        self._in_flight.discard(permit)

    def pause(self, until: float) -> None:
        """Start nothing before ``until``."""
        self._not_before = max(self._not_before, until)

    def next_at(self, now: float) -> float | None:
        """When a permit can be had: ``now`` or later; None where something has to come back first."""
        if len(self._in_flight) >= self.pace.max_concurrent:
            return None
        window_at = self._window_frees_at(now)
        return None if window_at is None else max(now, self._not_before, window_at)

    def _window_frees_at(self, now: float) -> float | None:
        window_s = self.pace.window_s + ARRIVAL_MARGIN_S
        while self._starts and self._starts[0] + window_s <= now:
            heapq.heappop(self._starts)
        room = self.pace.starts - len(self._pending)
        if room <= 0:
            return None
        if len(self._starts) < room:
            # A pace that fell below one per second has to see a start that an earlier window forgot.
            return self._last_start + window_s if self.pace.starts == 1 else now
        excess = len(self._starts) - room
        oldest = self._starts[0] if excess == 0 else heapq.nsmallest(excess + 1, self._starts)[-1]
        return oldest + window_s
