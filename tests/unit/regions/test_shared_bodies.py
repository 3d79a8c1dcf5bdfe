"""Many requests that carry one body share its bytes."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc

from orchestrator.domain.exchange import HttpRequest
from regions.egress.client import AiohttpEgress
from regions.egress.piecewise_body import PIECE_BYTES, PiecewiseBody
from regions.guard import AddressPolicy

BODY = b"0123456789abcdef" * 262_144
RECEIVERS = 20


async def open_gate() -> None:
    """Let everybody pass."""


class Hanging:
    """A receiver that reads the head of a request, and nothing more."""

    def __init__(self) -> None:
        self.reached = 0
        self.all_reached = asyncio.Event()
        self.over = asyncio.Event()
        self.serving: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Held: once its client has gone nobody else knows of a task that waits.
        self.serving.append(asyncio.current_task())
        # A connection that was made ahead ends without a request.
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.reached += 1
            if self.reached == RECEIVERS:
                self.all_reached.set()
            await reader.read(1)
            await self.over.wait()
        writer.close()


async def test_requests_that_hang_hold_no_copy_of_their_body_each() -> None:
    hanging = Hanging()
    server = await asyncio.start_server(hanging.serve, "127.0.0.1", 0, limit=PIECE_BYTES)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    egress = AiohttpEgress(AddressPolicy(allow_private=True))
    request = HttpRequest(method="POST", url=url, body=BODY)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        asked = [asyncio.ensure_future(egress.exchange(request, open_gate)) for _ in range(RECEIVERS)]
        async with asyncio.timeout(20):
            await hanging.all_reached.wait()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await egress.close()
    hanging.over.set()
    await asyncio.gather(*filter(None, hanging.serving))
    server.close()

    assert after - before < RECEIVERS * len(BODY) / 4


async def test_a_body_is_as_long_as_it_says() -> None:
    body = PiecewiseBody(BODY)

    assert body.size == len(BODY)
    assert body.decode("ascii") == BODY.decode("ascii")
