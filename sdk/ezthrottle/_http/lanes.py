"""How many requests of one client are under way at once, and who is next.

httpx's own pool looks through everybody who waits for each who comes, so that a thousand at once take a
minute; and it takes a wait that is too long for a service that is away. So nobody waits in it: the lanes
together let as many through as it has connections.
"""

from __future__ import annotations

import threading
from enum import Enum
from typing import Protocol

# Of requests to the service: more make it no faster.
MOST_SOCKETS = 50


class Kind(Enum):
    """What a request is, for its turn; the value is how many of the kind are under way at once."""

    CALL = 20
    """Answered at once: submissions above all."""

    WAIT = 30
    """Held until something happens. These have a lane of their own, so that no submission waits for them."""

    ELSEWHERE = 50
    """Past the service, to any server."""


class NoTurn(Exception):
    """The turn did not come in time."""


class Lane(Protocol):
    """The turns of one kind of request, among the threads of a process or the tasks of an event loop."""

    @property
    def crowd(self) -> float:
        """How many ask for each turn, 1 where nobody has to wait."""

    async def take(self, at_most_s: float | None) -> None:
        """Return when it is the caller's turn; raises NoTurn where that takes longer than `at_most_s`."""

    def give_back(self) -> None:
        """End the turn: it is the next one's."""


class BlockingLane:
    """A lane for threads.

    >>> lane = BlockingLane(at_once=1)
    >>> lane.crowd
    1.0
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._asking = 0
        self._taken = 0
        self._changed = threading.Condition(threading.Lock())

    @property
    def crowd(self) -> float:
        """See `Lane`."""
        return max(1.0, self._asking / self._at_once)

    async def take(self, at_most_s: float | None) -> None:
        """See `Lane`; it blocks the thread."""
        with self._changed:
            self._asking += 1
            came = False
            try:
                came = self._changed.wait_for(self._has_room, at_most_s)
            finally:
                self._asking -= not came
                self._taken += came
        if not came:
            raise NoTurn

    def give_back(self) -> None:
        """See `Lane`."""
        with self._changed:
            self._asking -= 1
            self._taken -= 1
            self._changed.notify()

    def _has_room(self) -> bool:
        return self._taken < self._at_once
