"""The Unix clock beside the monotonic one: when it is set, and a count of it that does not step."""

from collections.abc import Callable

from orchestrator.ports.clock import Clock

LOOK_EVERY_S = 1.0
STEP_MS = 250.0
"""Between two looks: far more than a clock is slewed by in that time (adjtimex: 0.5 ms a second)."""


class SteadyClock:
    """Unix ms as of this object's making, counted on by the monotonic clock: for waits within one life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base_ms = clock.unix_ms() - clock.now() * 1000

    def unix_ms(self) -> int:
        """Unix ms, whatever the clock was set to since."""
        return int(self._base_ms + self._clock.now() * 1000)


class ClockSteps:
    """Notices that the Unix clock was set: what is due at a moment of it has to be looked at anew."""

    def __init__(self, clock: Clock, stepped: Callable[[], None]) -> None:
        self._clock = clock
        self._stepped = stepped
        self._ahead_ms = self._ahead()

    def begin(self) -> None:
        """Look from now on."""
        self._ahead_ms = self._ahead()
        self._clock.call_at(self._clock.now() + LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        before, self._ahead_ms = self._ahead_ms, self._ahead()
        if abs(self._ahead_ms - before) > STEP_MS:
            self._stepped()
        self._clock.call_at(self._clock.now() + LOOK_EVERY_S, self._look)

    def _ahead(self) -> float:
        return self._clock.unix_ms() - self._clock.now() * 1000
