"""The smallest HTTP/1.1 that a benchmark needs, so that its own work does not hide what it measures."""

import asyncio
from collections import deque
from collections.abc import Callable

from bench.ports import fresh_listener

HEAD_END = b"\r\n\r\n"


class _Parser:
    """Cuts a byte stream into (head, body) pairs by Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        self._buffer += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return None
        head = self._buffer[:end]
        length = _content_length(head)
        total = end + len(HEAD_END) + length
        if len(self._buffer) < total:
            return None
        body = self._buffer[total - length : total]
        self._buffer = self._buffer[total:]
        return head, body


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        return 0
    return int(lower[at + 15 : lower.find(b"\r\n", at) if b"\r\n" in lower[at:] else None])


class RawServer(asyncio.Protocol):
    """Answers each request with what ``answer(head, body)`` gives."""

    def __init__(self, answer: Callable[[bytes, bytes], bytes]) -> None:
        self._answer = answer
        self._parser = _Parser()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport) or hasattr(transport, "write"):
            self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not registered

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        if self._transport is not None:
            for head, body in self._parser.feed(data):
                self._transport.write(self._answer(head, body))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class RawListener:
    """A port on loopback; its connections end with it."""

    def __init__(self, connection: Callable[[], RawServer]) -> None:
        self._connection = connection
        self._made: list[RawServer] = []
        self._server: asyncio.Server

    async def open(self) -> int:
        """Listen on a free port; give its number."""
        self._server = await asyncio.get_running_loop().create_server(self._make, sock=fresh_listener())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Listen no more, and hang up."""
        self._server.close()
        for connection in self._made:
            connection.close()

    def _make(self) -> RawServer:
        self._made.append(self._connection())
        return self._made[-1]


class RawClient(asyncio.Protocol):
    """One keep-alive connection; answers come in the order of requests."""

    def __init__(self) -> None:
        self._parser = _Parser()
        self._waiting: deque[asyncio.Future[tuple[bytes, bytes]]] = deque()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not registered

    def data_received(self, data: bytes) -> None:
        """Hand out answers."""
        for message in self._parser.feed(data):
            self._waiting.popleft().set_result(message)

    @property
    def closed(self) -> bool:
        """Whether the other side has hung up: it does where nothing is asked for long."""
        return self._transport is None or self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail who still waits."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(exc or ConnectionError("closed"))

    async def request(self, data: bytes) -> tuple[bytes, bytes]:
        """Send a request; give the head and body of its answer."""
        if self._transport is None:
            msg = "not connected"
            raise ConnectionError(msg)
        future: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(data)
        return await future

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


def answer(status: str, headers: str = "", body: bytes = b"ok") -> bytes:
    """Write a response."""
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """Write a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
