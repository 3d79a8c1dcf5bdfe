"""How long a route's answers take: a histogram of the recent ones that any quantile can be read from.

Buckets grow by a constant factor of 1.15, so that a quantile is as exact for answers of a millisecond as for
those of a minute (DDSketch: Masson, Rim and Lee, VLDB 2019). Two windows take turns: an answer is forgotten
half a minute after it came, as long as newer ones are enough to judge by.
"""

from bisect import bisect_left
from itertools import accumulate
from math import exp, log

BUCKETS = 84
SHORTEST_S = 0.0005
LONGEST_S = 60.0
"""What takes shorter or longer counts as this."""
WINDOW_S = 15.0
ENOUGH = 20
"""Answers before a quantile is believed, and before older ones are forgotten."""
FULL = 255
"""What a bucket holds. A window that has one so full has seen enough, however short it was."""

_WIDTH = log(LONGEST_S / SHORTEST_S) / BUCKETS


class AnswerTimes:
    """Two windows of counts, a byte a bucket: the one that fills, then the one before it."""

    __slots__ = ("_began", "_counts")

    def __init__(self, now: float) -> None:
        self._counts = bytearray(2 * BUCKETS)
        self._began = now

    def note(self, took_s: float, now: float) -> None:
        """Count an answer that came at ``now`` (monotonic s)."""
        if self._counts[(bucket := _bucket(took_s))] == FULL or self._over(now):
            self._counts[BUCKETS:] = self._counts[:BUCKETS]
            self._counts[:BUCKETS] = bytes(BUCKETS)
            self._began = now
        self._counts[bucket] += 1

    def quantile(self, share: float, now: float) -> float | None:
        """Estimate the time (s) within which ``share`` of the answers come; None while that is a guess."""
        filling, before = self._counts[:BUCKETS], self._counts[BUCKETS:]
        if self._over(now):
            before = bytearray(BUCKETS)
        sums = list(accumulate(map(int.__add__, filling, before)))
        if sums[-1] < ENOUGH:
            return None
        rank = share * sums[-1]
        bucket = bisect_left(sums, rank)
        below = sums[bucket - 1] if bucket else 0
        held = sums[bucket] - below
        # Where in their bucket they lie nobody knows: one that holds more than may be late counts to its end.
        into = (rank - below) / held if held <= (1 - share) * sums[-1] else 1.0
        return SHORTEST_S * exp((bucket + into) * _WIDTH)

    def _over(self, now: float) -> bool:
        return now - self._began >= WINDOW_S and sum(self._counts[:BUCKETS]) >= ENOUGH


def _bucket(took_s: float) -> int:
    took_s = min(max(took_s, SHORTEST_S), LONGEST_S)
    return min(BUCKETS - 1, int(log(took_s / SHORTEST_S) / _WIDTH))
