"""The latest of many things: what comes beyond a bound takes the place of what was put in longest ago."""

from collections import OrderedDict
from collections.abc import Hashable, ItemsView
from typing import Generic, TypeVar

from msgspec import Struct

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """The latest ``most`` values that were put in. To look one up keeps it no longer."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        # A dict finds its oldest entry behind the gaps of all that have gone: with thousands that takes
        # ten times as long.
        self._known: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """Look a value up; None where it is not known, or no longer."""
        return self._known.get(key)

    def items(self) -> ItemsView[_Key, _Value]:
        """Give everything, what was put in longest ago first."""
        return self._known.items()

    def put(self, key: _Key, value: _Value) -> _Value | None:
        """Put a value in, in place of what the key had; give the one that had to go for it, if one had to."""
        known = self._known
        known[key] = value
        known.move_to_end(key)
        return known.popitem(last=False)[1] if len(known) > self._most else None

    def drop(self, key: _Key) -> None:
        """Forget a value now, if it is known."""
        self._known.pop(key, None)


class _Kept(Struct, Generic[_Value], frozen=True):
    until: float
    value: _Value


class RecentFor(Generic[_Key, _Value]):
    """The latest ``most`` values, each for ``lasts_s`` seconds from when it was put in. ``now`` is monotonic
    seconds, and never less than before.
    """

    __slots__ = ("_known", "_lasts_s", "_most")

    def __init__(self, most: int, lasts_s: float) -> None:
        self._most = most
        self._lasts_s = lasts_s
        self._known: OrderedDict[_Key, _Kept[_Value]] = OrderedDict()

    def __len__(self) -> int:
        """Count what is held, with what has run out since the last was put in."""
        return len(self._known)

    def get(self, key: _Key, now: float) -> _Value | None:
        """Look a value up; None where it is not known, or no longer."""
        kept = self._known.get(key)
        return kept.value if kept is not None and now < kept.until else None

    def put(self, key: _Key, value: _Value, now: float) -> None:
        """Put a value in, in place of what the key had, and let go of what has run out."""
        known = self._known
        known[key] = _Kept(now + self._lasts_s, value)
        known.move_to_end(key)
        while len(known) > self._most or next(iter(known.values())).until <= now:
            known.popitem(last=False)

    def drop(self, key: _Key) -> None:
        """Forget a value now, if it is known."""
        self._known.pop(key, None)
