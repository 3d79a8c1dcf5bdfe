"""How fast the service goes: rates and latencies of the last minutes, by samples of what it counts.

Nobody looks, nothing is sampled: who opens the overview starts it, and it goes on for a while.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from orchestrator.core.views import Numbers
from orchestrator.domain.histogram import SECONDS
from orchestrator.domain.lifecycle import JobState
from orchestrator.ports.clock import Clock

EVERY_S = 2.0
GOES_ON_S = 600.0
KEPT = 150
"""Samples: five minutes."""
RECENT_S = 15.0


class Sample(Struct, frozen=True, kw_only=True):
    """What was counted at a moment (monotonic s, Unix ms). ``answers``: attempts by how long they took."""

    at_s: float
    at_ms: int
    accepted: int
    ended: int
    failed: int
    attempts: int
    answers: tuple[int, ...]


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
        numbers: Counts everything.
        clock: Time.
    """

    def __init__(self, numbers: Callable[[], Numbers], clock: Clock) -> None:
        self._numbers = numbers
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
        self._samples.append(_sample(self._numbers(), self._clock))
        goes_on = self._clock.now() < self._until_s
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(EVERY_S, self._sample) if goes_on else None


def _sample(numbers: Numbers, clock: Clock) -> Sample:
    counters = numbers.counters
    answers = [sum(column) for column in zip(*_counts(numbers), strict=True)]
    return Sample(
        at_s=clock.now(),
        at_ms=clock.unix_ms(),
        accepted=counters.accepted,
        ended=sum(Counter(counters.ended).values()),
        failed=counters.ended[JobState.FAILED],
        attempts=sum(counters.attempts.values()),
        answers=tuple(answers),
    )


def _counts(numbers: Numbers) -> list[list[int]]:
    nothing = [0] * (len(SECONDS) + 1)
    return [nothing, *(histogram.counts for histogram in numbers.counters.attempt_seconds.values())]


def _rates(samples: Sequence[Sample], now: float) -> Rates:
    first, recent, last = samples[0], _recent(samples, now), samples[-1]
    answers = [after - before for before, after in zip(first.answers, last.answers, strict=True)]
    return Rates(
        accepted=_per_s(recent.accepted, last.accepted, last.at_s - recent.at_s),
        started=_per_s(recent.attempts, last.attempts, last.at_s - recent.at_s),
        ended=_per_s(recent.ended, last.ended, last.at_s - recent.at_s),
        failed=_per_s(recent.failed, last.failed, last.at_s - recent.at_s),
        p50_s=quantile(answers, 0.5),
        p99_s=quantile(answers, 0.99),
    )


def _recent(samples: Sequence[Sample], now: float) -> Sample:
    return next((each for each in samples if each.at_s >= now - RECENT_S), samples[-1])


def _per_s(before: int, after: int, took_s: float) -> float | None:
    return (after - before) / took_s if took_s > 0 else None


def _course(samples: Sequence[Sample]) -> list[list[float | None]]:
    columns: list[list[float | None]] = [[], [], [], []]
    for before, after in pairwise(samples):
        took_s = after.at_s - before.at_s
        columns[0].append(after.at_ms / 1000)
        columns[1].append(_per_s(before.accepted, after.accepted, took_s))
        columns[2].append(_per_s(before.attempts, after.attempts, took_s))
        columns[3].append(_per_s(before.failed, after.failed, took_s))
    return columns


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Estimate a quantile (s) of a histogram's counts, evenly spread within each bucket, as Prometheus does;
    the highest bound where it lies beyond that, None where there is nothing.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    up_to, lower = 0, 0.0
    for bound, count in zip(SECONDS, counts, strict=False):
        if count and up_to + count >= wanted:
            return lower + (bound - lower) * (wanted - up_to) / count
        up_to, lower = up_to + count, bound
    return SECONDS[-1]
