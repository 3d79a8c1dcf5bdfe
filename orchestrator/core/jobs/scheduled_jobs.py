"""Jobs that wait for a moment of the Unix clock, and what becomes of them when that clock is set."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from orchestrator.core.clock_steps import ClockSteps
from orchestrator.domain.ids import JobId
from orchestrator.ports.clock import Clock, Timer
from orchestrator.ports.targets import Claim
from orchestrator.runtime.cooperative_yield import CooperativeYield

log = logging.getLogger(__name__)


class _Scheduled(Struct, frozen=True):
    claim: Claim
    at_ms: int
    timer: Timer


class ScheduledJobs:
    """Lets claims wait until their time.

    Args:
        clock: Time.
        line_up: Takes a claim whose time has come.
        spawn: Runs work to its end.
    """

    def __init__(
        self,
        clock: Clock,
        line_up: Callable[[Claim], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._clock = clock
        self._line_up = line_up
        self._waiting: dict[JobId, _Scheduled] = {}
        self._steps = ClockSteps(clock, lambda: spawn(self._rearm()))

    def begin(self) -> None:
        """Watch the Unix clock from now on."""
        self._steps.begin()

    def queue(self, claim: Claim, at_ms: int | None) -> None:
        """Line a claim up when it is due (Unix ms), at once where no time is named."""
        delay_s = 0.0 if at_ms is None else (at_ms - self._clock.unix_ms()) / 1000
        if at_ms is None or delay_s <= 0:
            self._line_up(claim)
            return
        timer = self._clock.call_at(self._clock.now() + delay_s, lambda: self._due(claim))
        self._waiting[claim.ticket.job_id] = _Scheduled(claim, at_ms, timer)

    def drop(self, job_id: JobId) -> None:
        """A job waits no longer, if it did."""
        if (scheduled := self._waiting.pop(job_id, None)) is not None:
            scheduled.timer.cancel()

    def _due(self, claim: Claim) -> None:
        del self._waiting[claim.ticket.job_id]
        self._line_up(claim)

    async def _rearm(self) -> None:
        """The clock was set: what begins at a moment of it is due earlier, or later."""
        log.warning("the clock was set: %d scheduled jobs are due anew", len(self._waiting))
        breather = CooperativeYield(self._clock.now)
        for job_id, scheduled in list(self._waiting.items()):
            if self._waiting.get(job_id) is scheduled:
                self.drop(job_id)
                self.queue(scheduled.claim, scheduled.at_ms)
            await breather.pause()
