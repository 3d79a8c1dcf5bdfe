"""A histogram with fixed bounds, as Prometheus reads it."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
FINE_SECONDS = (0.001, 0.0025, *SECONDS[:11])
"""For what is over within milliseconds as a rule."""
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Example(NamedTuple):
    """A value, and the trace of what had it."""

    trace_id: str
    value: float


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound, the last one without; observing costs a binary search."""

    bounds: tuple[float, ...] = SECONDS
    counts: list[int] = field(default_factory=list)
    total: float = 0.0
    examples: dict[int, Example] = field(default_factory=dict)
    """By bucket, one of those that were counted in it, where its trace is kept."""

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def exemplify(self, value: float, trace_id: str) -> None:
        """Name the trace of a value that is counted; the latest of a bucket stays."""
        self.examples[bisect_left(self.bounds, value)] = Example(trace_id, value)

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Their mean, rounded to the tenth of a millisecond; None where there was none."""
        count = self.count
        return round(self.total / count, 4) if count else None

    def buckets(self) -> list[tuple[str, float, Example | None]]:
        """Give the counts as Prometheus writes them: each bound with all up to it, and its own example."""
        found, up_to = [], 0
        for index, (bound, count) in enumerate(
            zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True)
        ):
            up_to += count
            found.append((bound, float(up_to), self.examples.get(index)))
        return found


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
