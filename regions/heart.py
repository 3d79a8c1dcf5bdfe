"""Where heartbeats come from in production: a thread and an event loop of their own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from orchestrator.ports.lifecycle import Lifecycle
from regions.session import Enter

STILL_WITHIN_S = 1.0
"""A stop waits no longer: the thread may be at a look-up of a name, which nobody can break off."""

BeatForEver = Callable[[Enter], Coroutine[Any, Any, None]]
MakeHeart = Callable[[BeatForEver], Lifecycle]


class Heart(Lifecycle):
    """Beats beside the loop in which it is made: a busy loop must not look like a dead region."""

    def __init__(self, beat_for_ever: BeatForEver) -> None:
        self._beat_for_ever = beat_for_ever
        self._node = asyncio.get_running_loop()
        self._beats = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._beating: asyncio.Task[Any] | None = None

    def _start(self) -> None:
        self._thread.start()
        self._beats.wait()

    def _stop(self) -> None:
        if self._beating is not None:
            # The loop is closed where the heart has died.
            with suppress(RuntimeError):
                self._beating.get_loop().call_soon_threadsafe(self._beating.cancel)
            self._thread.join(STILL_WITHIN_S)

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._beat())
        finally:
            self._beats.set()

    async def _beat(self) -> None:
        self._beating = asyncio.current_task()
        self._beats.set()
        await self._beat_for_ever(self._enter)

    async def _enter(self, act: Callable[[], bool]) -> bool:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_run(act), self._node))


async def _run(act: Callable[[], bool]) -> bool:
    return act()
