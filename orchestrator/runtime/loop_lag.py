"""How late an event loop comes to what is due: what everything on it waits for, beside its own work."""

import asyncio
from collections.abc import Callable

LOOKED_EVERY_S = 0.25


async def watch_loop(note: Callable[[float], None], every_s: float = LOOKED_EVERY_S) -> None:
    """Tell ``note`` again and again by how much (s) the running loop was late, until this is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        note(max(0.0, loop.time() - due))
