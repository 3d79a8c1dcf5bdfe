"""Who heard a target ask for less, and how much less: one customer alone must not hold a domain down."""

import math
from dataclasses import dataclass, replace

WITNESSED_WITHIN_S = 60.0
ALONE_MOST_S = 60.0
"""So long one customer's word binds a domain; what more it says binds that customer only."""
FORGOTTEN_AFTER_S = 600.0
REMEMBERED = 16
AS_LITTLE = 1.1
"""What two are told may differ by so much, and still be the same: a budget shrinks between two answers."""

Asked = tuple[float, ...]
"""What a target asked for, as rates: the smaller, the stricter. Empty where it named none."""


@dataclass(frozen=True, slots=True)
class _Word:
    """What one was told last; when first and last (monotonic s)."""

    asked: Asked
    first: float
    last: float


class Witnesses:
    """The latest to be told something of one kind."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words: dict[str, _Word] = {}

    def hear(self, who: str, asked: Asked, now: float) -> float:
        """Note what ``who`` was told; say until when that binds all: for ever where another was told to keep
        to as little, not at all (a time that has passed) where nobody else was for too long.
        """
        words = {name: word for name, word in self._words.items() if now - word.last < FORGOTTEN_AFTER_S}
        own = words.pop(who, _Word(asked, now, now))
        others = max((w.last for w in words.values() if _as_little(w.asked, asked)), default=-math.inf)
        self._words = dict(list(words.items())[1 - REMEMBERED :]) | {who: replace(own, asked=asked, last=now)}
        if now - others < WITNESSED_WITHIN_S:
            return math.inf
        return max(own.first, others + WITNESSED_WITHIN_S) + ALONE_MOST_S


def _as_little(others: Asked, asked: Asked) -> bool:
    return all(other <= AS_LITTLE * own for other, own in zip(others, asked, strict=True))
