"""Time, as the core sees it."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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

    def boot_s(self) -> float:
        """Seconds that go on while the machine sleeps, too."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at monotonic ``when``, or soon if that has passed."""


def utc(clock: Clock) -> datetime:
    """The clock's time as a date."""
    return datetime.fromtimestamp(clock.unix_ms() / 1000, tz=UTC)


class SystemClock:
    """Real time. Not the loop's own: uvloop caches that for a turn, and counts whole milliseconds."""

    def now(self) -> float:
        """Monotonic seconds; on Linux the same in every process of one machine."""
        return time.monotonic()

    def unix_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def boot_s(self) -> float:
        """Seconds that go on while the machine sleeps, too, where the system has such a clock."""
        return time.clock_gettime(_BOOTTIME)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at monotonic ``when``, or soon if that has passed."""
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)
