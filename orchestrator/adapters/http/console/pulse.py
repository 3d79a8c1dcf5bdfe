"""How fast the service goes: rates and latencies of the last minutes, by samples of what it counts.

Nobody looks, nothing is sampled: who opens the overview starts it, and it goes on for a while.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from orchestrator.core.views import Totals
from orchestrator.domain.histogram import quantile
from orchestrator.ports.clock import Clock

EVERY_S = 2.0
GOES_ON_S = 600.0
KEPT = 150
"""Samples: five minutes."""
RECENT_S = 15.0


class Sample(Struct, frozen=True):
    """What was counted until a moment (monotonic s, Unix ms)."""

    at_s: float
    at_ms: int
    total: Totals


class Rates(Struct, frozen=True, kw_only=True):
    """Events per second over the last RECENT_S, and attempts' latencies (s) over the samples that are kept;
    None where too little is known.
    """

    accepted: float | None
    started: float | None
    ended: float | None
    failed: float | None
    p50_s: float | None
    p99_s: float | None


class Pulse:
    """Samples, and says what follows from them.

    Args:
        totals: Gives what is counted since the service began.
        clock: Time.
    """

    def __init__(self, totals: Callable[[], Totals], clock: Clock) -> None:
        self._totals = totals
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._until_s = 0.0
        self._next: asyncio.TimerHandle | None = None

    def look(self) -> tuple[Rates, list[list[float | None]]]:
        """Give the rates now, and how they went: Unix s, accepted, started and failed per second."""
        now = self._clock.now()
        self._until_s = now + GOES_ON_S
        if self._next is None:
            self._samples.clear()
            self._sample()
        samples = list(self._samples)
        return _rates(samples, now), _course(samples)

    def _sample(self) -> None:
        self._samples.append(Sample(self._clock.now(), self._clock.unix_ms(), self._totals()))
        goes_on = self._clock.now() < self._until_s
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(EVERY_S, self._sample) if goes_on else None


def _rates(samples: Sequence[Sample], now: float) -> Rates:
    first, recent, last = samples[0], _recent(samples, now), samples[-1]
    before, after, took_s = recent.total, last.total, last.at_s - recent.at_s
    answers = [after - before for before, after in zip(first.total.answers, after.answers, strict=True)]
    return Rates(
        accepted=_per_s(before.accepted, after.accepted, took_s),
        started=_per_s(before.attempts, after.attempts, took_s),
        ended=_per_s(before.ended, after.ended, took_s),
        failed=_per_s(before.failed, after.failed, took_s),
        p50_s=quantile(answers, 0.5),
        p99_s=quantile(answers, 0.99),
    )


def _recent(samples: Sequence[Sample], now: float) -> Sample:
    return next((each for each in samples if each.at_s >= now - RECENT_S), samples[-1])


def _per_s(before: int, after: int, took_s: float) -> float | None:
    return (after - before) / took_s if took_s > 0 else None


def _course(samples: Sequence[Sample]) -> list[list[float | None]]:
    columns: list[list[float | None]] = [[], [], [], []]
    for earlier, later in pairwise(samples):
        before, after, took_s = earlier.total, later.total, later.at_s - earlier.at_s
        columns[0].append(later.at_ms / 1000)
        columns[1].append(_per_s(before.accepted, after.accepted, took_s))
        columns[2].append(_per_s(before.attempts, after.attempts, took_s))
        columns[3].append(_per_s(before.failed, after.failed, took_s))
    return columns
