"""Work that a shard has under way beside its messages."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.domain.cluster.patience import Patience
from orchestrator.ports.clock import Clock
from orchestrator.ports.lifecycle import AsyncCloseable

LOOK_EVERY_S = 0.02


class Tasks(AsyncCloseable):
    """Runs each to its end; what one raises ends the shard, for its truth is then on disk only."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        """Count what is under way."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something, unless all has ended: timers may go off later."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def until(self, holds: Callable[[], bool], clock: Clock, within_s: float = math.inf) -> float:
        """Block until something holds, at most so long, or until one has failed, for it may never come then;
        say how long that was (s). A stall of this process's own does not count.
        """
        patience = Patience(clock.now())

        def over() -> bool:
            return holds() or self._fault.done() or patience.look(clock.now()) >= within_s

        while not over():  # noqa: ASYNC110  # what is waited for shares no event
            await asyncio.sleep(LOOK_EVERY_S)
        return patience.waited_s

    async def failed(self) -> None:
        """Return never; raise what the first that failed raised."""
        await self._fault

    async def close(self) -> None:
        """End everything, and begin nothing more; whoever calls this from one of them goes on."""
        self._closed = True
        ending = self._tasks - {asyncio.current_task()}
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._fault.done():
            self._fault.set_exception(error)
