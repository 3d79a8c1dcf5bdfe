"""One at a time, and owners in turn: who asks a hundred times waits behind his own ninety-nine."""

import asyncio
from collections import deque
from types import TracebackType


class Turns:
    """A lock that owners take round robin. Times are as they come: nobody is interrupted."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def turn(self, owner: str) -> "Turn":
        """Wait for a turn of the owner's, and hold it until the block ends."""
        return Turn(self, owner)

    async def take(self, owner: str) -> None:
        """Wait for a turn of the owner's; ``pass_on`` ends it."""
        if not self._taken:
            self._taken = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """The turn is over: the next one's begins."""
        while self._waiting:
            owner, line = next(iter(self._waiting.items()))
            following = line.popleft()
            # Behind all the others from here on.
            del self._waiting[owner]
            if line:
                self._waiting[owner] = line
            if not following.done():
                following.set_result(None)
                return
        self._taken = False


class Turn:
    """One turn, as a block: no generator, which a loop that ends would have to end first."""

    __slots__ = ("_owner", "_turns")

    def __init__(self, turns: Turns, owner: str) -> None:
        self._turns = turns
        self._owner = owner

    async def __aenter__(self) -> None:
        await self._turns.take(self._owner)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.pass_on()
