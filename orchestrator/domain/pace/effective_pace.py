"""The pace that holds: the least of what is in force, and which of it that is."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.pace.active_limits import ActiveLimit
from orchestrator.domain.pace.pacing import Pace


class EffectivePace(Struct, frozen=True):
    """``rps`` requests per second, 0 while nothing may start, and ``max_concurrent`` in flight. ``limit`` is
    the signal that keeps the rate so low, or the places so few; None where it is the pace that it began with.
    """

    rps: float
    max_concurrent: int
    limit: ActiveLimit | None = None

    def under(self, limits: Iterable[ActiveLimit]) -> "EffectivePace":
        """Keep to these as well. Where several allow as little, the one that holds longest is named."""
        held = self
        for limit in limits:
            if limit.rps is not None and (limit.rps < held.rps or held.is_named_by(limit)):
                held = replace(held, rps=limit.rps, limit=limit)
            if limit.max_concurrent is not None and limit.max_concurrent < held.max_concurrent:
                held = replace(held, max_concurrent=limit.max_concurrent, limit=held.limit or limit)
        return held

    def is_named_by(self, limit: ActiveLimit) -> bool:
        """Whether a limit that allows as little says more about why."""
        return limit.rps == self.rps and (self.limit is None or _longer(limit, self.limit))

    def shared_by(self, lanes: Iterable["EffectivePace"], *, of: int) -> "EffectivePace":
        """Keep to what those who wait may have together; ``lanes`` are some ``of`` so many."""
        held = list(lanes)
        if not held:
            return self
        rps = sum(lane.rps for lane in held) * of / len(held)
        places = sum(lane.max_concurrent for lane in held) * of // len(held)
        if rps >= self.rps and places >= self.max_concurrent:
            return self
        strictest = min(held, key=lambda lane: lane.rps)
        return replace(
            self,
            rps=min(rps, self.rps),
            max_concurrent=min(places, self.max_concurrent),
            limit=strictest.limit or self.limit,
        )


def of_pace(pace: Pace) -> EffectivePace:
    """Begin with a pace."""
    return EffectivePace(pace.rps, pace.max_concurrent)


def _longer(limit: ActiveLimit, other: ActiveLimit) -> bool:
    return other.until is not None and (limit.until is None or limit.until > other.until)
