"""Waiting for memory: whoever would hold too much waits until others have let go of theirs."""

import asyncio
from collections import deque

from orchestrator.domain.byte_budget import ByteBudget

_Line = deque[tuple[int, "asyncio.Future[None]"]]


class ByteRoom:
    """A budget of bytes that can be waited for: each owner's requests in their order, owners in turn.

    Args:
        most: Bytes that all may hold at once.
    """

    def __init__(self, most: int) -> None:
        self.budget = ByteBudget(most)
        self._waiting: dict[str, _Line] = {}

    async def take(self, owner: str, size: int) -> None:
        """Return once ``size`` bytes more are the owner's."""
        if owner not in self._waiting and self.budget.fits(owner, size):
            self.budget.take(owner, size)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(owner, deque())
        line.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._forget(owner, line, granted)
            else:
                self.give_back(owner, size)
            raise

    def give_back(self, owner: str, size: int) -> None:
        """Let go of bytes, in pieces of the sizes that they were taken in."""
        self.budget.give_back(owner, size)
        for waiting in list(self._waiting):
            self._grant(waiting)

    def _grant(self, owner: str) -> None:
        """Give an owner what fits, and move him behind the others where that was something."""
        line, served = self._waiting[owner], False
        while line and self.budget.fits(owner, line[0][0]):
            size, granted = line.popleft()
            self.budget.take(owner, size)
            granted.set_result(None)
            served = True
        if not line:
            del self._waiting[owner]
        elif served:
            self._waiting[owner] = self._waiting.pop(owner)

    def _forget(self, owner: str, line: _Line, granted: "asyncio.Future[None]") -> None:
        remaining = deque(waiter for waiter in line if waiter[1] is not granted)
        line.clear()
        line.extend(remaining)
        if not line and self._waiting.get(owner) is line:
            del self._waiting[owner]
        elif owner in self._waiting:
            # What stood behind the one that left may be smaller.
            self._grant(owner)
