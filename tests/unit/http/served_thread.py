"""The API on a real socket, on an event loop in a thread of its own, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import uvloop

from orchestrator.settings import Settings
from tests.unit.http.gateway import running_gateway
from tests.unit.http.test_serving import a_free_port, served

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,  # Ray's actors run on it
}


@dataclass
class Served:
    """What runs in the thread."""

    port: int
    wrong: list[str] = field(default_factory=list)
    """What the loop was told of that nobody else heard of."""


@contextmanager
def served_in_thread(loop: str) -> Iterator[Served]:
    """Serve until the block ends."""
    served = Served(a_free_port())
    ready, stop = threading.Event(), threading.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(_serve(served, ready, stop))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        yield served
    finally:
        stop.set()
        thread.join(30)


async def _serve(told: Served, ready: threading.Event, stop: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.wrong.append(str(context)))
    gateways = asynccontextmanager(running_gateway)
    async with gateways() as gateway, served(gateway, Settings(port=told.port)):
        ready.set()
        await asyncio.to_thread(stop.wait)
