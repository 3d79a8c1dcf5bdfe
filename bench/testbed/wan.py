"""What the paths between machines do to a packet; pure, so that time and chance are arguments."""

from collections.abc import Iterable
from random import Random

from msgspec import Struct
from msgspec.structs import replace

QUEUE_MOST_S = 0.25
"""A narrow path holds as much as it carries in this time; what comes on top is lost, as in any router."""

Way = tuple[str, str]
"""From one machine to another: each direction stands for itself."""


class Path(Struct, frozen=True, kw_only=True):
    """One direction between two machines. ``loss`` is a share, ``mbit`` megabits a second, None is wide."""

    delay_ms: float = 0.1
    jitter_ms: float = 0.0
    loss: float = 0.0
    mbit: float | None = None


class Wan:
    """Says when a packet comes out at the far end, if ever. Packets of one direction keep their order."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._paths: dict[Way, Path] = {}
        self._cut: set[Way] = set()
        self._last: dict[Way, float] = {}
        self._free_at: dict[Way, float] = {}

    def shape(self, ways: Iterable[Way], changes: dict[str, float | None]) -> None:
        """Change what the fields of ``Path`` that are named say for some ways.

        Raises:
            TypeError: There is no such field.

        """
        for way in ways:
            self._paths[way] = replace(self.path(way), **changes)

    def cut(self, ways: Iterable[Way]) -> None:
        """Let nothing through any more, what is under way included."""
        self._cut.update(ways)

    def heal(self, ways: Iterable[Way]) -> None:
        """Let it through again."""
        self._cut.difference_update(ways)

    def path(self, way: Way) -> Path:
        """Tell how a way is."""
        return self._paths.get(way, _PLAIN)

    def is_cut(self, way: Way) -> bool:
        """Whether nothing comes through."""
        return way in self._cut

    def arrival(self, now: float, way: Way, size: int) -> float | None:
        """Say when a packet of so many bytes that is sent now arrives (s); None where it is lost."""
        path = self.path(way)
        if way in self._cut or (path.loss and self._random.random() < path.loss):
            return None
        sent = self._through_the_narrow(now, way, path, size)
        if sent is None:
            return None
        jitter_ms = self._random.random() * path.jitter_ms
        arrives = max(sent + (path.delay_ms + jitter_ms) / 1000, self._last.get(way, 0.0))
        self._last[way] = arrives
        return arrives

    def _through_the_narrow(self, now: float, way: Way, path: Path, size: int) -> float | None:
        if path.mbit is None:
            return now
        begins = max(now, self._free_at.get(way, 0.0))
        if begins - now > QUEUE_MOST_S:
            return None
        self._free_at[way] = begins + size * 8 / (path.mbit * 1e6)
        return self._free_at[way]


_PLAIN = Path()
