"""Long work on the event loop, in slices: one a turn of the loop, of all who have some."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

SLICE_S = 0.004
SWITCH_EVERY_S = 0.000_5
"""How long a thread waits for the interpreter's lock while there is long work; 5 ms is usual.

A commit gives the lock up in each call of SQLite, and asks for it anew behind it: beside an event loop that
computed it took 50 to 100 ms. Always so often, threads would cost a seventh of what the service can do.
"""
LINGERS_S = 0.1
"""How long that goes on behind a slice: the next one is on its way."""


class CooperativeYield:
    """Lets others have the loop once a slice of time is used up.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = now()

    async def pause(self) -> None:
        """Call between the parts of the work; mostly it returns at once."""
        if self._now() - self._since >= SLICE_S:
            await _turns().next()
            self._since = self._now()


class _Turns:
    """Those who wait for their next slice. Were each to wait for the loop's next turn only, that would have a
    slice of every one: twelve batches at once held up everybody else's requests by 50 ms.
    """

    def __init__(self) -> None:
        self._usual_s = 0.0
        self._until = 0.0
        self._line: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Wait for a turn of the loop in which nobody else has a slice."""
        loop = asyncio.get_running_loop()
        self._switch_often(loop)
        turn = loop.create_future()
        self._line.append(turn)
        if len(self._line) == 1:
            loop.call_soon(self._give)
        await turn

    def _switch_often(self, loop: asyncio.AbstractEventLoop) -> None:
        self._until = loop.time() + LINGERS_S
        if not self._usual_s:
            self._usual_s = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_EVERY_S)
            loop.call_later(LINGERS_S, self._switch_as_usual, loop)

    def _switch_as_usual(self, loop: asyncio.AbstractEventLoop) -> None:
        if (left_s := self._until - loop.time()) > 0:
            loop.call_later(left_s, self._switch_as_usual, loop)
        else:
            sys.setswitchinterval(self._usual_s)
            self._usual_s = 0.0

    def _give(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        if self._line:
            asyncio.get_running_loop().call_soon(self._give)


_turns_of: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


def _turns() -> _Turns:
    loop = asyncio.get_running_loop()
    if loop not in _turns_of:
        _turns_of[loop] = _Turns()
    return _turns_of[loop]
