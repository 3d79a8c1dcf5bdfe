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

    def waiting(self, owner: str) -> int:
        """Count how often an owner waits."""
        return len(self._waiting.get(owner, ()))

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
        self._give_out()

    def _give_out(self) -> None:
        """Give out what there is, a request of each owner at a time."""
        while any(self._grant(owner) for owner in list(self._waiting)):
            pass

    def _grant(self, owner: str) -> bool:
        """Grant an owner's next request, if it fits."""
        line = self._waiting[owner]
        size, granted = line[0]
        if not self.budget.fits(owner, size):
            return False
        line.popleft()
        self.budget.take(owner, size)
        granted.set_result(None)
        # Behind all the others from here on.
        del self._waiting[owner]
        if line:
            self._waiting[owner] = line
        return True

    def _forget(self, owner: str, line: _Line, granted: "asyncio.Future[None]") -> None:
        remaining = deque(waiter for waiter in line if waiter[1] is not granted)
        line.clear()
        line.extend(remaining)
        if not line and self._waiting.get(owner) is line:
            del self._waiting[owner]
        elif owner in self._waiting:
            # What stood behind the one that left may be smaller.
            self._give_out()
