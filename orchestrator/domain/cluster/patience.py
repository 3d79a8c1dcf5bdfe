"""How long somebody has waited, as far as they were awake."""

LOOK_MOST_S = 0.5


class Patience:
    """Counts the seconds of a wait from look to look. Between two of them at most ``LOOK_MOST_S`` count:
    whoever was stalled for longer, on a machine that gave it no time, did not see what happened meanwhile,
    and what it waits for may have been stalled with it.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self.waited_s = 0.0

    def look(self, now: float, *, counts: bool = True) -> float:
        """Look once more; say how many seconds count by now. What passed since the last look does not where
        ``counts`` is False.
        """
        if counts:
            self.waited_s += min(now - self._looked_at, LOOK_MOST_S)
        self._looked_at = now
        return self.waited_s
