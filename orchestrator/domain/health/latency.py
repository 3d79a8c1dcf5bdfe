"""How long a target takes to answer, learned from its recent answers: mean, mean deviation, and median.

The gains are those of TCP's round-trip estimator (RFC 6298). Two mean deviations above the mean is the
95th percentile of a normal distribution (1.6 standard deviations), and near it for one with a longer tail.

The median is followed by steps towards each answer, of a share of itself (stochastic approximation: Robbins
and Monro, 1951): a few very slow answers move it little, a target that has become slower moves it within ten.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import RegionName

MEAN_GAIN = 1 / 8
DEVIATION_GAIN = 1 / 4
DEVIATIONS = 2.0
ENOUGH = 10
"""Answers before an estimate is believed."""
STEP = 0.05
"""The share by which an answer moves the median, once there are twenty; the first ones move it further."""
SHORTEST_S = 0.0005
"""What takes shorter counts as this."""
MUCH_SLOWER_TIMES = 1.5
LATE_LEAST_S = 0.05
LATE_UNKNOWN_S = 1.0


class Latency(Struct, frozen=True):
    """Seconds from a request's first byte to its answer. ``answers`` is how many were seen."""

    mean_s: float = 0.0
    deviation_s: float = 0.0
    answers: int = 0
    median_s: float = 0.0

    @property
    def believed(self) -> bool:
        """Whether there were enough answers to judge by."""
        return self.answers >= ENOUGH

    @property
    def late_after_s(self) -> float:
        """How long an answer may take before it counts as late."""
        if not self.believed:
            return LATE_UNKNOWN_S
        return max(LATE_LEAST_S, self.mean_s + DEVIATIONS * self.deviation_s)


def note_answer(latency: Latency, took_s: float) -> Latency:
    """Learn from one answer."""
    if not latency.answers:
        return Latency(took_s, took_s / 2, 1, max(took_s, SHORTEST_S))
    off_s = abs(took_s - latency.mean_s)
    return Latency(
        latency.mean_s + MEAN_GAIN * (took_s - latency.mean_s),
        latency.deviation_s + DEVIATION_GAIN * (off_s - latency.deviation_s),
        latency.answers + 1,
        _stepped(latency, took_s),
    )


def note_given_up(latency: Latency, after_s: float) -> Latency:
    """Learn from an answer that nobody waited for any longer than ``after_s``."""
    later = latency.believed and after_s > latency.median_s
    return replace(latency, median_s=_stepped(latency, after_s)) if later else latency


def much_quicker(wanted: Latency, others: Mapping[RegionName, Latency]) -> RegionName | None:
    """Name the region whose half of answers comes soonest, if that is much sooner than where a leg is
    ``wanted``; None where it is not, or too little is known.
    """
    known = {region: latency.median_s for region, latency in others.items() if latency.believed}
    best = min(known, key=lambda region: known[region], default=None)
    if best is None or not wanted.believed or wanted.median_s <= MUCH_SLOWER_TIMES * known[best]:
        return None
    return best


def _stepped(latency: Latency, took_s: float) -> float:
    step = 1 + max(STEP, 1 / latency.answers)
    return latency.median_s * step if took_s > latency.median_s else max(SHORTEST_S, latency.median_s / step)
