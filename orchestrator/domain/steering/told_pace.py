"""The pace that a throttle keeps to: what it was told, until that lapses, or else what is everybody's."""

import math
from typing import Protocol

from orchestrator.domain.pace.pacing import ARRIVAL_MARGIN_S, Limiter, Pace, PaceState, holds
from orchestrator.domain.steering.witnesses import FORGOTTEN_AFTER_S

Parts = tuple[float | None, float | None]
"""Until when a rate holds that was told, and a number in flight; None where that was not told."""
_UNTOLD = Pace()


class Shared(Protocol):
    """Whoever knows the pace that is everybody's who was told none."""

    each: Pace | None


class ToldPace:
    """What was told, by which header, and the starts within it. Times are monotonic seconds."""

    __slots__ = ("_otherwise", "_pace", "_parts", "_shared", "_source", "_told_by", "_until", "starts")

    def __init__(self) -> None:
        self.starts = Limiter(_UNTOLD)
        """Keeps the log of starts at the pace that is kept to, as long as there is one."""
        self._pace = _UNTOLD
        self._until = -math.inf
        self._parts: Parts = (None, None)
        self._shared: Shared | None = None
        """Where what was not told comes from, if only a part of the pace was."""
        self._told_by = -math.inf
        self._otherwise: Pace | None = None
        self._source = ""

    def now(self, now: float) -> Pace | None:
        """Give the pace that is kept to; None where there is none."""
        return self._told(now) if now < self._until else self._otherwise

    def state(self, now: float) -> PaceState | None:
        """Give the pace that was told, with what was told of it; None where that is over."""
        if now >= self._until:
            return None
        parts = (part if holds(part, now) else None for part in self._parts)
        ends = self._ends(now)
        return PaceState(self._told(now), None if ends == math.inf else ends, self._source, *parts)

    def is_latest(self, answered_at: float) -> bool:
        """Note when an answer came that told a pace; say whether no later one was heard before it."""
        latest = answered_at >= self._told_by
        self._told_by = max(self._told_by, answered_at)
        return latest

    def keep_to(self, pace: Pace | None) -> None:
        """Keep to a pace where none was told; None: to none."""
        self._otherwise = pace

    def tell(
        self,
        pace: Pace,
        now: float,
        source: str = "",
        *,
        until: float | None = None,
        parts: Parts | None = None,
        shared: Shared | None = None,
    ) -> None:
        """Keep to a pace, until it lapses or ``until``; ``source`` is the header that told it. What is not
        among the ``parts`` that it told, or has lapsed of them before, is what ``shared`` has.
        """
        self._until = now + pace.lapse_s if until is None else until
        self._pace, self._source = pace, source
        self._parts, self._shared = parts or (self._until, self._until), shared

    def let_go(self) -> None:
        """Forget what was told: a later answer told a better pace."""
        self._until = -math.inf

    def lapses_at(self, now: float, last: float) -> float:
        """When what is kept to is over; ``last`` is when a request was let out last. A pace that has no end
        is kept for a while after the last start, one that was not told for as long as a window remembers:
        from the start, which may come late, on.
        """
        if now < self._until < math.inf:
            return self._until
        kept = self.now(now)
        rests_s = FORGOTTEN_AFTER_S if self._until == math.inf else 0.0
        last = max(last, self.starts.last_start)
        return -math.inf if kept is None else last + kept.window_s + ARRIVAL_MARGIN_S + rests_s

    def next_at(self, now: float, out: int) -> float | None:
        """When the pace lets a request go, of which ``out`` are in flight, or lapses; None where one has to
        come back.
        """
        kept = self.limiter(now)
        if kept is None:
            return now
        told_at = None if out >= kept.pace.max_concurrent else kept.next_at(now)
        if now < (ends := self._ends(now)) < math.inf:
            # Nothing else tells of that, and what is in flight may be for long.
            return min(ends, math.inf if told_at is None else told_at)
        return told_at

    def limiter(self, now: float) -> Limiter | None:
        """Give the limiter of the pace that is kept to; None where there is none."""
        if (pace := self.now(now)) is None:
            return None
        self.starts.pace = pace
        return self.starts

    def _ends(self, now: float) -> float:
        """When the next part of what was told lapses; in the past where none holds."""
        return min((part for part in self._parts if part is not None and now < part), default=self._until)

    def _told(self, now: float) -> Pace:
        has_rps, has_most = (holds(part, now) for part in self._parts)
        shared = None if self._shared is None else self._shared.each
        if shared is None or (has_rps and has_most):
            return self._pace
        return Pace(
            self._pace.rps if has_rps else shared.rps,
            self._pace.max_concurrent if has_most else shared.max_concurrent,
        )
