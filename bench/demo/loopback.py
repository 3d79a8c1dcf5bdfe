"""Small HTTP servers on the loopback interface, on an event loop in a thread of their own."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

LONGEST_REQUEST_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived: header names in lower case, ``arrived_s`` on the monotonic clock."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    arrived_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and how many seconds after the request arrived."""

    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    after_s: float = 0.0

    def encode(self) -> bytes:
        """Write it as HTTP/1.1; the connection ends with it."""
        fields = {"Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its end: answered, or ``hung_up`` by the client, after ``took_s`` seconds."""

    request: Request
    hung_up: bool
    took_s: float


Answer = Callable[[Request], Reply]


class LoopbackServer:
    """Answers every request with what ``answer(request)`` gives, and remembers the exchanges."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._ended: list[Exchange] = []
        self._changed = threading.Condition()
        self.url = ""

    async def listen(self) -> None:
        """Take a free port."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Refuse connections from now on."""
        self._listener.close()

    def exchanges(self, *, at_least: int = 0, within_s: float = 0.0) -> list[Exchange]:
        """List the exchanges that have ended, in the order of arrival.

        Waits for ``at_least`` so many, no longer than ``within_s`` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._ended) >= at_least, within_s)
            return sorted(self._ended, key=lambda exchange: exchange.request.arrived_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # On Python 3.11 the streams complain about a handler that ends as cancelled.
        gone = (ConnectionError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            async with asyncio.timeout(LONGEST_REQUEST_S):
                request = await _read_request(reader)
            reply = self._answer(request)
            hung_up = await _closed_within(reader, reply.after_s)
            # Kept before it is answered: what follows from the answer must not come first.
            self._keep(Exchange(request, hung_up, time.monotonic() - request.arrived_s))
            if not hung_up:
                writer.write(reply.encode())
                await writer.drain()
        writer.close()

    def _keep(self, exchange: Exchange) -> None:
        with self._changed:
            self._ended.append(exchange)
            self._changed.notify_all()


class ServerThread:
    """Runs servers until the block ends."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="servers", daemon=True)
        self._running = threading.Event()
        self._servers: list[LoopbackServer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._running.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def serve(self, answer: Answer) -> LoopbackServer:
        """Start a server on a port of its own."""
        server = LoopbackServer(answer)
        asyncio.run_coroutine_threadsafe(server.listen(), self._loop).result()
        self._servers.append(server)
        return server

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._running.set()
        await self._stopped.wait()
        for server in self._servers:
            server.close()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    arrived_s = time.monotonic()
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, arrived_s)


async def _closed_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True
