"""A bound on what costly answers may take of the event loop, all of them together, by the second.

Interim answers without end, or a body in chunks of one byte, cost the parser far more time than they cost
their sender. While it is at that, nobody else's answer is read and no heartbeat is heard. So an answer that
costs much waits for its turns from then on: what it takes is bounded, and nothing of it is lost.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

SHARE = 0.2
"""Of a second's CPU time, for all costly answers together."""
BURST_S = 0.02
"""CPU time that may lie unused and be taken at once."""
TURNS_EVERY_S = 0.02


class Reader(Protocol):
    """Something that has costly work to do."""

    def take_turn(self) -> bool:
        """Do a little of it; say whether there is more."""


class ReadingShare:
    """Lets readers take turns, for as much CPU time as they have together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left_s = BURST_S
        self._refilled_at = self._loop.time()
        self._line: deque[Reader] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def admits(self) -> bool:
        """Whether a costly reader may go on at once: nobody waits, and there is time left."""
        if self._line:
            return False
        self._refill()
        return self._left_s > 0

    def charge(self, cost_s: float) -> None:
        """Count CPU time that a costly reader took."""
        self._left_s -= cost_s

    def line_up(self, reader: Reader) -> None:
        """Give a reader turns until it has nothing more to do."""
        self._line.append(reader)
        if self._timer is None:
            self._timer = self._loop.call_later(TURNS_EVERY_S, self._give_turns)

    def leave(self, reader: Reader) -> None:
        """Take a reader that has gone out of the line."""
        if reader in self._line:
            self._line.remove(reader)

    def _give_turns(self) -> None:
        self._timer = None
        self._refill()
        while self._line and self._left_s > 0:
            reader = self._line.popleft()
            if reader.take_turn():
                self._line.append(reader)
        if self._line:
            self._timer = self._loop.call_later(TURNS_EVERY_S, self._give_turns)

    def _refill(self) -> None:
        now = self._loop.time()
        self._left_s = min(BURST_S, self._left_s + SHARE * (now - self._refilled_at))
        self._refilled_at = now


def cpu_s() -> float:
    """Say what CPU time the thread has had: a machine that is busy elsewhere makes nobody's answer costly."""
    return time.thread_time()
