"""Who heard a target ask for less: one customer alone must not be able to hold a domain down."""

import math

WITNESSED_WITHIN_S = 60.0
ALONE_MOST_S = 60.0
"""So long one customer's word binds a domain; what more it says binds that customer only."""
FORGOTTEN_AFTER_S = 600.0
REMEMBERED = 16


class Witnesses:
    """The latest to hear it, each with the first and the last time (monotonic seconds)."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}

    def hear(self, who: str, now: float) -> float:
        """Note that ``who`` heard it; say until when that binds all: for ever where another heard it too."""
        heard = {name: times for name, times in self._heard.items() if now - times[1] < FORGOTTEN_AFTER_S}
        first = heard.pop(who, (now, now))[0]
        others = max((last for _, last in heard.values()), default=-math.inf)
        self._heard = dict(list(heard.items())[1 - REMEMBERED :]) | {who: (first, now)}
        if now - others < WITNESSED_WITHIN_S:
            return math.inf
        return max(first, others + WITNESSED_WITHIN_S) + ALONE_MOST_S
