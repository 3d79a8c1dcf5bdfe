"""How much heads of requests hold in memory, those that are on their way and those that wait in line: of all
connections of a listener, in bytes. Nobody needs a key to send one.
"""

from collections import deque
from collections.abc import Iterable

from orchestrator.domain.byte_budget import KIB, MIB

HEADS_BYTES = 8 * MIB
FREE_BYTES = 4 * KIB
"""Of every connection: who sends a usual head waits for nobody, and is refused for nobody."""
CONNECTION_COSTS = 8 * KIB
"""What a connection takes that says nothing."""
REQUEST_COSTS = 3 * KIB
"""What a request takes besides its head."""
LINE_COSTS = 144
"""What a line of a head takes besides its bytes."""


class HeadRoom:
    """The room of one listener."""

    def __init__(self) -> None:
        self.used = 0


class HeldHeads:
    """What one connection holds.

    Args:
        room: Where it is counted.
    """

    __slots__ = ("_counted", "_heads", "_room")

    def __init__(self, room: HeadRoom) -> None:
        self._room = room
        self._heads: deque[int] = deque()
        self._counted = 0

    def begun(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """A request's head is whole."""
        lines = sum([LINE_COSTS + len(name) + len(value) for name, value in headers])
        self._heads.append(REQUEST_COSTS + len(url) + lines)

    def answered(self) -> None:
        """The oldest request is answered."""
        if self._heads:
            self._heads.popleft()

    def fits(self, partial: int) -> bool:
        """Count what is held, with ``partial`` bytes that are no request yet; say whether there is room."""
        held = max(0, sum(self._heads) + partial - FREE_BYTES)
        more = held - self._counted
        self._counted = held
        self._room.used += more
        return more <= 0 or self._room.used <= HEADS_BYTES

    def let_go(self) -> None:
        """The connection is over."""
        self._heads.clear()
        self.fits(0)
