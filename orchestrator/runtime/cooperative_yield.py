"""Long work on the event loop, in slices."""

import asyncio
from collections.abc import Callable

SLICE_S = 0.004


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
            await asyncio.sleep(0)
            self._since = self._now()
