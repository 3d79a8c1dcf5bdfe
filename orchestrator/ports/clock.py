"""Time, as the core sees it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """Something that will happen, and may be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """Monotonic seconds for intervals, Unix ms for what people and other machines see."""

    def now(self) -> float:
        """Monotonic seconds."""

    def unix_ms(self) -> int:
        """Unix milliseconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at monotonic ``when``, or soon if that has passed."""


def utc(clock: Clock) -> datetime:
    """The clock's time as a date."""
    return datetime.fromtimestamp(clock.unix_ms() / 1000, tz=UTC)
