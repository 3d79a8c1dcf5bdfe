"""Rates that are found by trying, where a target refuses without a word about when or how much."""

from orchestrator.domain.pace.pacing import Limiter, Pace
from orchestrator.domain.steering.binding import Binding, Word
from orchestrator.domain.steering.heard import Heard
from orchestrator.domain.steering.throttle import Throttle


class TriedRates:
    """Says whose rate a refusal lowers, and up to which pace it grows back. All times are monotonic seconds.

    Args:
        binding: Whom refusals bind.
        most_rps: What the operator allows at most.

    """

    __slots__ = ("_binding", "_most_rps")

    def __init__(self, binding: Binding, most_rps: float) -> None:
        self._binding = binding
        self._most_rps = most_rps

    def refused(self, heard: Heard, limiter: Limiter, pace: Pace, now: float) -> bool:
        """Slow down whom a refusal binds, with ``limiter`` at the domain's ``pace``; say whether any rate was
        lowered.
        """
        lowered = False
        for throttle, _ in self._binding.bound(heard, Word.REFUSAL, (), now):
            told = throttle.pace(now) if self._paces_itself(throttle, now) else None
            starts, kept = (limiter, pace) if told is None else (throttle.told.starts, told)
            # Much faster than just now nothing was tried.
            begin = 2 * max(1, starts.recent(now)) / kept.window_s
            ceiling = self._ceiling(throttle, pace, now)
            lowered |= throttle.refused(heard.job, heard.started_at, now, ceiling=ceiling, begin=begin)
        return lowered

    def answered(self, heard: Heard, pace: Pace, now: float) -> None:
        """Let the rates of those grow back whose request was let through."""
        own = self._binding.throttles.own
        bound = [t for _, t in self._binding.accounts.bound(heard.customer, heard.account, now)]
        for throttle in bound if own is None else [own, *bound]:
            if throttle.tried_rate(now) is not None:
                ceiling = self._ceiling(throttle, pace, now)
                throttle.answered(heard.job, heard.started_at, now, ceiling=ceiling)

    def _paces_itself(self, throttle: Throttle, now: float) -> bool:
        return self._binding.accounts.each is not None and throttle.told.state(now) is not None

    def _ceiling(self, throttle: Throttle, pace: Pace, now: float) -> float:
        """Say which rate a throttle's grows back to once refusals end."""
        told = throttle.pace(now) if self._paces_itself(throttle, now) else None
        if told is not None:
            return told.rps
        accounts = self._binding.accounts
        if throttle is not self._binding.throttles.own or accounts.each is None:
            return pace.rps
        return max(pace.rps, accounts.together(self._most_rps, now))
