"""A job's page while it is open: drawn anew whenever something happens, sent as Server-Sent Events."""

from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import Struct
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.core.gateway.watching import JobFollower
from orchestrator.ports.clock import Clock

DRAWN_EVERY_S = 0.5
"""While it is under way: the bars grow."""
LASTS_MOST_S = 600.0
"""Then the browser comes again: its session is looked at then."""


class Drawn(Struct, frozen=True):
    """The part of the page that changes; ``settled``: it will not any more."""

    html: str
    settled: bool


class JobStream(StreamingResponse):
    """Sends the page's part until nothing of it can change any more.

    Args:
        follower: Notices what happens.
        draw: Draws it.
        is_open: Whether the session still is.
        clock: Time.
        over: Called once the stream is over, however it ended.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        follower: JobFollower,
        draw: Callable[[], Awaitable[Drawn]],
        is_open: Callable[[], Awaitable[bool]],
        clock: Clock,
        over: Callable[[], None],
    ) -> None:
        self._follower = follower
        self._draw = draw
        self._is_open = is_open
        self._clock = clock
        self._over = over
        super().__init__(self._events(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()

    async def _events(self) -> AsyncIterator[bytes]:
        until, told = self._clock.now() + LASTS_MOST_S, ""
        with self._follower as follower:
            while self._clock.now() < until and await self._is_open():
                drawn = await self._draw()
                if drawn.html != told:
                    yield _written("job", drawn.html)
                    told = drawn.html
                if drawn.settled:
                    yield _written("over", "")
                if drawn.settled or (follower.over and not follower.stored.state.ended):
                    return
                await follower.news(DRAWN_EVERY_S)


def _written(name: str, text: str) -> bytes:
    lines = [f"event: {name}", *(f"data: {line}" for line in text.splitlines() or [""])]
    return ("\n".join(lines) + "\n\n").encode()
