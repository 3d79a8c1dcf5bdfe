"""Percentiles of a run, and their median and spread over several runs."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of several runs: its median, and the least and the most of it."""

    median: float
    least: float
    most: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".1f"
        return f"{self.median:{spec}} ({self.least:{spec}} to {self.most:{spec}})"

    def __str__(self) -> str:
        return format(self)


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that ``share`` of all do not exceed (nearest rank); NaN where there is none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def over_runs(numbers: Sequence[float]) -> Figure:
    """Sum up one number of several runs."""
    return Figure(statistics.median(numbers), min(numbers), max(numbers))


def percentile_over_runs(runs: Sequence[Sequence[float]], share: float) -> Figure:
    """Sum up one percentile of several runs."""
    return over_runs([percentile(values, share) for values in runs])
