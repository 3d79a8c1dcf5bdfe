"""Who heard a target ask for less, and how much less: one customer alone must not hold a domain down."""

from msgspec import Struct

WITNESSED_WITHIN_S = 60.0
ALONE_MOST_S = 60.0
"""So long one customer's words bind a domain; what more they say binds that customer only."""
FORGOTTEN_AFTER_S = 600.0
REMEMBERED = 16
AS_LITTLE = 1.1
"""What two are told may differ by so much, and still be the same: a budget shrinks between two answers."""

Asked = tuple[float, ...]
"""What a target asked for, as rates: the smaller, the stricter. Empty where it named none."""


class _Word(Struct, frozen=True):
    """What one was told last, and when (monotonic s)."""

    asked: Asked
    at: float


class Witnesses:
    """The latest to be told something of one kind."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words: dict[str, _Word] = {}

    def hear(self, who: str, asked: Asked, now: float) -> bool:
        """Note what ``who`` was told; say whether another was told to keep to as little, within a minute."""
        self._words.pop(who, None)
        others = [word for word in self._words.values() if now - word.at < WITNESSED_WITHIN_S]
        self._words[who] = _Word(asked, now)
        if len(self._words) > REMEMBERED:
            del self._words[next(iter(self._words))]
        return any(_as_little(word.asked, asked) for word in others)

    def use_up(self, who: str) -> None:
        """Let what others were told count once: it bears no witness to what ``who`` is told from now on."""
        self._words = {who: self._words[who]}


class Soloists:
    """The latest customers to be told something that nobody else was, each with the first and last time."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}

    def binds_until(self, who: str, now: float) -> float:
        """Note that ``who`` alone hears something; say until when that binds all: a minute from the first
        time on, whatever is said. A time that has passed where it was so for longer.
        """
        first, last = self._heard.pop(who, (now, now))
        first = first if now - last < FORGOTTEN_AFTER_S else now
        self._heard[who] = first, now
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return first + ALONE_MOST_S


def _as_little(others: Asked, asked: Asked) -> bool:
    return all(other <= AS_LITTLE * own for other, own in zip(others, asked, strict=True))
