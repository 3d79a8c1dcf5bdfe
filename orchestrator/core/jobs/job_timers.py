"""What a job does later, unless it has ended by then."""

from collections.abc import Callable, Hashable

from orchestrator.ports.clock import Clock, Timer


class JobTimers:
    """The timers of one job, each under the name of what it is for."""

    __slots__ = ("_clock", "_timers")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: dict[Hashable, Timer] = {}

    def after(self, delay_s: float, what: Hashable, do: Callable[[], None]) -> None:
        """Do something later, once; what is to be done already stays as it is."""

        def due() -> None:
            del self._timers[what]
            do()

        if what not in self._timers:
            self._timers[what] = self._clock.call_at(self._clock.now() + delay_s, due)

    def __len__(self) -> int:
        """Count what is still to be done."""
        return len(self._timers)

    def __contains__(self, what: Hashable) -> bool:
        """Whether something is still to be done."""
        return what in self._timers

    def cancel_all(self) -> None:
        """Do nothing of it any more."""
        while self._timers:
            self._timers.popitem()[1].cancel()
