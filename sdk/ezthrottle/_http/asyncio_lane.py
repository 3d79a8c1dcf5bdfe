"""A lane for the tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections import deque

from ezthrottle._http.lanes import NoTurn


class AsyncioLane:
    """First come, first served; the standard library's semaphore is not, before Python 3.11.

    >>> lane = AsyncioLane(at_once=1)
    >>> await lane.take(None)
    >>> lane.give_back()
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._asking = 0
        self._taken = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def crowd(self) -> float:
        """See `Lane`."""
        return max(1.0, self._asking / self._at_once)

    async def take(self, at_most_s: float | None) -> None:
        """See `Lane`."""
        self._asking += 1
        if self._taken < self._at_once:
            self._taken += 1
            return
        came = False
        try:
            came = await self._turn(at_most_s)
        finally:
            self._asking -= not came
        if not came:
            raise NoTurn

    def give_back(self) -> None:
        """See `Lane`."""
        self._asking -= 1
        self._pass_on()

    async def _turn(self, at_most_s: float | None) -> bool:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        limit = None if at_most_s is None else loop.call_later(at_most_s, _settle, turn, False)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._pass_on()
            raise
        finally:
            if limit is not None:
                limit.cancel()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._taken -= 1


def _settle(turn: asyncio.Future[bool], came: bool) -> None:
    if not turn.done():
        turn.set_result(came)
