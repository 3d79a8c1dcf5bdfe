"""How late the event loop comes to what is due."""

import asyncio
import time
from contextlib import suppress

from orchestrator.runtime.loop_lag import watch_loop


async def test_work_that_holds_the_loop_up_is_seen_as_lag() -> None:
    lags: asyncio.Queue[float] = asyncio.Queue()
    watching = asyncio.create_task(watch_loop(lags.put_nowait, every_s=0.01))
    await lags.get()
    time.sleep(0.2)  # noqa: ASYNC251  # this is what holds it up
    assert await lags.get() > 0.15
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
