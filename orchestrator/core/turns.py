"""One at a time, and owners in turn: who asks a hundred times waits behind his own ninety-nine."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Turns:
    """A lock that owners take round robin. Times are as they come: nobody is interrupted."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn of the owner's, and hold it until the block ends."""
        await self._take(owner)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, owner: str) -> None:
        if not self._taken:
            self._taken = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
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
