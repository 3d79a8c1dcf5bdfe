"""Work that a shard has under way beside its messages."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Runs each to its end; what one raises ends the shard, for its truth is then on disk only."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        """Count what is under way."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def failed(self) -> None:
        """Return never; raise what the first that failed raised."""
        await self._fault

    def cancel(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._fault.done():
            self._fault.set_exception(error)
