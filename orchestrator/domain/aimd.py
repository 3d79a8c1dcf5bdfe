"""The rate that a target bears and does not name, found by trying: AIMD with the growth of CUBIC.

After a refusal the rate is cut, then grows back: fast while it is far below where it was refused, slowly
near it, and beyond it faster again (the shape is that of RFC 9438). It grows by answers and not by time, so
silence proves nothing, and a target of any speed sees as small a share of refusals.
"""

GROW_BACK_LEAST = 100
GROW_BACK_S = 3.0
"""The rate is back where it was refused after so many seconds' worth of answers, or GROW_BACK_LEAST."""
PROBE = 0.15
CUT = 0.85
CUT_SEARCHING = 0.6
PROVEN_LEAST = 20
FLOOR = 1 / 16
"""Of the rate last refused: a target that refuses everything is still asked now and then."""
CUT_INTERVAL_S = 0.25
"""All that were on their way at one time are refused together: that is one refusal."""


class TriedRate:
    """A rate in requests per second. Times are monotonic seconds.

    Args:
        ceiling: What it grows towards until it is refused on the way.
        begin: Where it begins, at most ``ceiling``.

    """

    __slots__ = ("_answers", "_cut_at", "_goal", "_low")

    def __init__(self, ceiling: float, begin: float) -> None:
        self._goal = ceiling
        self._low = min(begin, ceiling)
        self._answers = 0
        self._cut_at = float("-inf")

    @property
    def rate(self) -> float:
        """The rate to try now."""
        grow_back = max(GROW_BACK_LEAST, GROW_BACK_S * self._goal)
        ahead = (grow_back - self._answers) / grow_back
        span = self._goal - self._low if ahead > 0 else PROBE * self._goal
        return self._goal - span * ahead**3

    def answered(self, started_at: float) -> None:
        """A request that started at ``started_at`` was let through."""
        if started_at >= self._cut_at:
            self._answers += 1

    def refused(self, started_at: float, now: float) -> bool:
        """Take a refusal; say whether it lowered the rate. One of before the last cut says nothing new."""
        if started_at < self._cut_at or now < self._cut_at + CUT_INTERVAL_S:
            return False
        rate = self.rate
        proven = self._answers >= max(PROVEN_LEAST, rate)
        # A target that lets nothing through does not tell what it bears when it is well again.
        if self._answers:
            self._goal = rate
        self._low = max(rate * (CUT if proven else CUT_SEARCHING), self._goal * FLOOR)
        self._answers = 0
        self._cut_at = now
        return True
