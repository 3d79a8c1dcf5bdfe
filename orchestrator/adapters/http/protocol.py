"""HTTP/1.1 within bounds that hold before anybody has shown a key: of a head's size, of silence, of numbers.

The parser underneath takes a head, or the fields after a chunked body, of any size, for ever.
"""

import asyncio
import resource
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orchestrator.adapters.http.problems import problem

HEAD_BYTES_MOST = 64 * 1024
HEAD_WITHIN_S = 30.0
CONNECTIONS_MOST = 10_000
FILES_KEPT_BACK = 256
"""Of those that the process may open: for the store, the log and Ray."""


def connections_most() -> int:
    """How many connections one listener may hold: what the limit on open files leaves."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MOST
    return max(1, min(CONNECTIONS_MOST, files - FILES_KEPT_BACK))


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    connections_most = CONNECTIONS_MOST

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = cast("HTTPScope", {})
        self._beside_body = 0
        """Bytes of the message under way that are no body; below 0, what a body has earned (see on_body)."""
        self._head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base
        """Take a connection, if there is room, and wait for its first byte for a while."""
        super().connection_made(transport)
        if len(self.connections) > self.connections_most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open: try again later")
        else:
            self._await_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._head_is_here()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > HEAD_BYTES_MOST:
            detail = f"the head of the request is larger than {HEAD_BYTES_MOST} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        elif not self.scope.get("method"):
            self._await_head()
        else:
            if self._head_due is not None:
                self._head_is_here()
            if self.cycle.response_complete and self.timeout_keep_alive_task is None:
                # What came is the rest of a request that was answered early, or no request at all.
                self._await_next()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body: it earns as much room beside it, for chunks have sizes, up to a head's."""
        self._beside_body = max(self._beside_body - 2 * len(body), -HEAD_BYTES_MOST)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to count anew, unless the head that is complete was too large."""
        super().on_message_complete()
        if self._beside_body <= HEAD_BYTES_MOST or self._size_of_head() <= HEAD_BYTES_MOST:
            self._beside_body = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _await_next(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _await_head(self) -> None:
        if self._head_due is None:
            self._head_due = self.loop.call_later(HEAD_WITHIN_S, self.timeout_keep_alive_handler)

    def _head_is_here(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        if self.transport.is_closing():
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_answer(status, detail))
        if cycle is not None:
            cycle.disconnected = True
        self.transport.close()


def _answer(status: HTTPStatus, detail: str) -> bytes:
    response = problem(status, status.phrase.lower().replace(" ", "-"), status.phrase, detail)
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    return line + fields + b"connection: close\r\n\r\n" + bytes(response.body)
