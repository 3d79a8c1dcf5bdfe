"""HTTP/1.1 within bounds that hold before anybody has shown a key: of heads' sizes, of silence, of numbers.

The parser underneath takes a head, or the fields after a chunked body, of any size, for ever.
"""

import asyncio
import resource
from typing import Any, cast

import httptools
from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
)
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orchestrator.adapters.http.bodies import BODY_IS_HERE
from orchestrator.adapters.http.head_room import LINE_COSTS, HeadRoom, HeldHeads
from orchestrator.adapters.http.lingering import LingeringTransport, Refused
from orchestrator.adapters.http.problems import problem_of
from orchestrator.adapters.http.upgrades import UpgradeBlindParser
from orchestrator.domain.errors import BadRequest, EZThrottleError, HeadTooLarge, NotReady

HEAD_BYTES_MOST = 64 * 1024
HEAD_LINES_MOST = 200
HEAD_WITHIN_S = 30.0
PIPELINED_MOST = 16
"""Requests of one connection in line behind the one that is being answered: what follows is not read yet."""
SLICE_BYTES = 4 * 1024
"""What is read at a time: a hundred small requests at most."""
DENSE_SLICE_BYTES = 1024
"""The same of what has more lines than a head may have."""
BODY_SLICE_BYTES = 16 * 1024
BODILESS = ("GET", "HEAD", "DELETE")
"""What comes with these is of no use to anybody, and is dropped as it comes."""
CONNECTIONS_MOST = 10_000
FILES_KEPT_BACK = 256
"""Of those that the process may open: for the store, the log and Ray."""
RETRY_AFTER_S = 1
"""When there may be room again for who found none."""


def connections_most() -> int:
    """How many connections one listener may hold: what the limit on open files leaves."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MOST
    return max(1, min(CONNECTIONS_MOST, files - FILES_KEPT_BACK))


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    The base is uvicorn's own class, whose inside is no promise of theirs: pyproject.toml pins the version,
    and tests/unit/http/test_odd_requests.py goes through what this one relies on.
    """

    connections_most = CONNECTIONS_MOST
    refused = Refused()
    room = HeadRoom()
    """Of one listener: ``serving`` makes a class for each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = cast("HTTPScope", {})
        self.headers = []
        self._held = HeldHeads(self.room)
        self._rest = b""
        """What came behind requests that are in line, and is read when some of them are answered."""
        self._said_all = False
        self._beside_body = 0
        """Bytes of the message under way that are no body; below 0, what a body has earned (see on_body)."""
        self._head_due: asyncio.TimerHandle | None = None
        self._line: LingeringTransport
        self._upgrades = UpgradeBlindParser(
            self.parser,
            on_body=self.on_body,
            on_message_complete=self.on_message_complete,
            headers=lambda: self.headers,
        )
        self.parser = cast("httptools.HttpRequestParser", self._upgrades)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base
        """Take a connection, if there is room, and wait for its first byte for a while."""
        self._line = LingeringTransport(transport, self._body_is_coming)
        super().connection_made(self._line)
        if len(self.connections) > self.connections_most:
            # It takes nobody's place while it goes.
            self.connections.discard(self)
            self.refused.add(self._line)
            self._refuse(NotReady("too many connections are open: try again later", RETRY_AFTER_S))
        else:
            self._await_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._head_is_here()
        self._held.let_go()
        self._unset_keepalive_if_required()
        self.refused.discard(self._line)
        super().connection_lost(exc)
        # Both know this object, which would keep it until the next garbage collection.
        self._line.lost()
        del self._upgrades

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._line.lingering:
            self._line.drop(len(data))
            return
        self._rest += data
        self._read_on()
        if self._line.is_closing():
            return
        if (excess := self._excess()) is not None:
            self._refuse(excess)
        elif not self.scope.get("method"):
            self._await_head()
        else:
            self._head_is_here()
            if self._is_idle() and self.timeout_keep_alive_task is None:
                # What came is no request at all.
                self._await_next()

    def _read_on(self) -> None:
        rest, at = self._rest, 0
        while at < len(rest) and len(self.pipeline) < PIPELINED_MOST and not self._line.is_closing():
            data = rest[at : at + self._slice_bytes(rest, at)]
            at += len(data)
            self._beside_body += len(data)
            super().data_received(data)
            if self._is_too_large():
                # Nobody reads on: 15,000 short lines would hold the loop up for ten milliseconds.
                break
        self._rest = rest[at:]

    def _slice_bytes(self, rest: bytes, at: int) -> int:
        if self._body_is_coming():
            return BODY_SLICE_BYTES
        is_dense = rest.count(b"\n", at, at + SLICE_BYTES) > HEAD_LINES_MOST
        return DENSE_SLICE_BYTES if is_dense else SLICE_BYTES

    def _is_too_large(self) -> bool:
        return self._beside_body > HEAD_BYTES_MOST or len(self.headers) > HEAD_LINES_MOST

    def _excess(self) -> EZThrottleError | None:
        """What is too much of what has come, if anything is."""
        if self._beside_body > HEAD_BYTES_MOST:
            detail = f"the head of the request is larger than {HEAD_BYTES_MOST} bytes"
        elif len(self.headers) > HEAD_LINES_MOST:
            detail = f"the head of the request has more than {HEAD_LINES_MOST} lines"
        elif not self._has_room():
            return NotReady("the heads of too many requests are under way: try again later", RETRY_AFTER_S)
        else:
            return None
        return HeadTooLarge(detail)

    def _has_room(self) -> bool:
        is_whole = self.scope.get("method")
        partial = 0 if is_whole else self._beside_body + LINE_COSTS * len(self.headers)
        return self._held.fits(partial + len(self._rest))

    def eof_received(self) -> bool:  # type: ignore[override]  # the base says no more than asyncio's default
        """Hear that the client says no more; it may still listen for its answer (True)."""
        if self._line.is_closing() or self._is_idle():
            return False
        if self._rest:
            self._said_all = True
            return True
        cycle = self._newest()
        if cycle is None or cycle.more_body or self._head_due is not None:
            self._refuse(BadRequest("the request broke off"))
            return False
        cycle.keep_alive = False
        # Who leaves a stream that has begun has heard enough of it.
        return not cycle.response_started

    def on_headers_complete(self) -> None:
        """Begin with a request whose head is here; one that asks for another protocol is the last in this."""
        super().on_headers_complete()
        self._held.begun(self.url, self.headers)
        if self._upgrades.asked():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body: it earns as much room beside it, for chunks have sizes, up to a head's."""
        self._beside_body = max(self._beside_body - 2 * len(body), -HEAD_BYTES_MOST)
        if self.scope["method"] not in BODILESS:
            super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self._held.answered()
        self._has_room()
        super().on_response_complete()
        if self._rest:
            self.flow.pause_reading()
            self.loop.call_soon(self._read_rest)

    def _read_rest(self) -> None:
        if self._rest and not self._line.is_closing():
            self.data_received(b"")
            if not (self._rest or self.pipeline):
                self.flow.resume_reading()
            if self._said_all and not self._rest and not self.eof_received():
                self._line.close()

    def on_message_complete(self) -> None:
        """Begin to count anew, unless the head that is complete was too large."""
        if self._upgrades.body_is_read_later:
            return
        super().on_message_complete()
        if self._beside_body <= HEAD_BYTES_MOST or self._size_of_head() <= HEAD_BYTES_MOST:
            self._beside_body = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(BadRequest(msg))

    def shutdown(self) -> None:
        """End with the server."""
        if self._line.lingering:
            self._line.abort()
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        async def answering(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            async def sending(message: ASGISendEvent) -> None:
                if message["type"] == "http.response.start":
                    if cycle.more_body:
                        # An answer that did not wait for the body: what comes of that is no next request.
                        cycle.keep_alive = False
                    self._line.keep()
                    await send(message)
                else:
                    await send(message)
                    self._line.send_on()

            if not cycle.more_body:
                cycle.scope["extensions"] = {BODY_IS_HERE: {}}
            await app(scope, receive, sending)

        super()._start_asgi_task(cycle, answering)

    def _newest(self) -> RequestResponseCycle | None:
        # The base says that there always is one, which is not so before the first whole head.
        return cast("RequestResponseCycle | None", self.cycle)

    def _body_is_coming(self) -> bool:
        cycle = self._newest()
        return cycle is not None and cycle.more_body

    def _is_idle(self) -> bool:
        cycle = self._newest()
        return self._head_due is None and (cycle is None or cycle.response_complete)

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

    def _refuse(self, error: EZThrottleError) -> None:
        if self._line.is_closing():
            return
        cycle = self._newest()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self._line.write(_answer(error))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._head_is_here()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self.headers.clear()
        self._rest = b""
        self._held.let_go()
        self._line.linger()


def _answer(error: EZThrottleError) -> bytes:
    response = problem_of(error)
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
    line = f"HTTP/1.1 {error.status.value} {error.status.phrase}\r\n".encode()
    return line + fields + b"connection: close\r\n\r\n" + bytes(response.body)
