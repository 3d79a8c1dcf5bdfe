"""How long a target takes to answer, learned from its recent answers: mean and mean deviation.

The gains are those of TCP's round-trip estimator (RFC 6298). Two mean deviations above the mean is the
95th percentile of a normal distribution (1.6 standard deviations), and near it for one with a longer tail.
"""

from msgspec import Struct

MEAN_GAIN = 1 / 8
DEVIATION_GAIN = 1 / 4
DEVIATIONS = 2.0
ENOUGH = 10
"""Answers before an estimate is believed."""
LATE_LEAST_S = 0.05
LATE_UNKNOWN_S = 1.0


class Latency(Struct, frozen=True):
    """Seconds from a request's first byte to its answer. ``answers`` is how many were seen."""

    mean_s: float = 0.0
    deviation_s: float = 0.0
    answers: int = 0

    @property
    def late_after_s(self) -> float:
        """How long an answer may take before it counts as late."""
        if self.answers < ENOUGH:
            return LATE_UNKNOWN_S
        return max(LATE_LEAST_S, self.mean_s + DEVIATIONS * self.deviation_s)


def note_answer(latency: Latency, took_s: float) -> Latency:
    """Learn from one answer."""
    if not latency.answers:
        return Latency(took_s, took_s / 2, 1)
    off_s = abs(took_s - latency.mean_s)
    return Latency(
        latency.mean_s + MEAN_GAIN * (took_s - latency.mean_s),
        latency.deviation_s + DEVIATION_GAIN * (off_s - latency.deviation_s),
        latency.answers + 1,
    )
