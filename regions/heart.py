"""Where heartbeats come from in production: a thread and an event loop of their own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from regions.session import Enter


def start_heart(beat_for_ever: Callable[[Enter], Coroutine[Any, Any, None]]) -> None:
    """Let a heart beat beside the running loop: a busy loop must not look like a dead region."""
    node = asyncio.get_running_loop()

    async def enter(act: Callable[[], bool]) -> bool:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_run(act), node))

    threading.Thread(target=lambda: asyncio.run(beat_for_ever(enter)), name="heartbeat", daemon=True).start()


async def _run(act: Callable[[], bool]) -> bool:
    return act()
