"""Waiting for memory: whoever would hold too much waits until others have let go of theirs."""

import asyncio
from collections import deque

from orchestrator.domain.byte_budget import ByteBudget

_Wish = tuple[int, "asyncio.Future[bool]"]


class ByteRoom:
    """A budget of bytes that can be waited for: each owner's requests in their order, owners in turn.

    Args:
        most: Bytes that all may hold at once.
    """

    def __init__(self, most: int) -> None:
        self.budget = ByteBudget(most)
        self._waiting: dict[str, deque[_Wish]] = {}

    def owners_waiting(self) -> list[str]:
        """Name the owners who wait, those whose turn comes first in front."""
        return list(self._waiting)

    def waiting(self, owner: str) -> int:
        """Count how often an owner waits."""
        return len(self._waiting.get(owner, ()))

    async def take(self, owner: str, size: int) -> bool:
        """Return once ``size`` bytes more are the owner's; True where they were let through."""
        if owner not in self._waiting and self.budget.fits(owner, size):
            self.budget.take(owner, size)
            return False
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append((size, granted))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                # What stood behind the one that leaves may be smaller.
                self._give_out()
            else:
                self.give_back(owner, size)
            raise

    def give_back(self, owner: str, size: int) -> None:
        """Let go of bytes, in pieces of the sizes that they were taken in."""
        self.budget.give_back(owner, size)
        self._give_out()

    def let_through(self, owner: str) -> None:
        """Grant an owner's next request, whether it fits or not."""
        if (first := self._first(owner)) is not None:
            self._pass(owner, *first, let_through=True)

    def _give_out(self) -> None:
        """Give out what there is, a request of each owner at a time."""
        while any(self._grant(owner) for owner in list(self._waiting)):
            pass

    def _grant(self, owner: str) -> bool:
        """Grant an owner's next request, if it fits."""
        first = self._first(owner)
        if first is None or not self.budget.fits(owner, first[0]):
            return False
        self._pass(owner, *first, let_through=False)
        return True

    def _first(self, owner: str) -> _Wish | None:
        """Find an owner's next request; those whose tasks are just being cancelled are none."""
        line = self._waiting.get(owner)
        while line and line[0][1].done():
            line.popleft()
        if not line:
            self._waiting.pop(owner, None)
            return None
        return line[0]

    def _pass(self, owner: str, size: int, granted: "asyncio.Future[bool]", *, let_through: bool) -> None:
        self.budget.take(owner, size)
        granted.set_result(let_through)
        # Behind all the others from here on.
        line = self._waiting.pop(owner)
        line.popleft()
        if line:
            self._waiting[owner] = line
