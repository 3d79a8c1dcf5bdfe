"""One exchange under way: its gate, its deadline and its connection.

The gate sits in the request's ``send``, which the client session calls with a ready connection and before
anything is written. Trace callbacks come at the same moment, but when one of them raises or is cancelled
its connection is forgotten, neither closed nor given back.

aiohttp connects, pools and writes. It does not read: its parser drops an answer as a whole when any part of
it is not as it should be (docs/decisions/0015-an-answer-that-has-begun-counts.md). What this touches of it is
public: the request and response classes of a session, their ``send``, ``write_bytes`` and ``start``, and a
connection's ``protocol`` and ``transport``.
"""

import asyncio
from contextlib import suppress
from enum import Enum, auto
from typing import cast

from aiohttp import ClientError, ClientOSError, ClientRequest, ClientResponse, ServerDisconnectedError
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from orchestrator.domain.exchange import Fault, Phases
from orchestrator.ports.egress import EgressError, Gate
from regions.egress.answer import Answer
from regions.egress.answer_room import BodyRoom
from regions.egress.frames import let_go_of_frames
from regions.egress.idle import IdleConnections
from regions.egress.reader import AnswerReader
from regions.egress.reading_share import ReadingShare

_CLEAN_TRIES = 4


class Phase(Enum):
    """How far an exchange has come."""

    CONNECTING = auto()
    AT_GATE = auto()
    WRITING = auto()
    SENT = auto()


class UncleanError(Exception):
    """The connection has said something before it was asked."""


class NotResentError(Exception):
    """The connection failed; aiohttp is shown this, because it resends after the errors that it knows."""

    def __init__(self, cause: ClientError) -> None:
        super().__init__()
        self.cause = cause


class GatedExchange:
    """Takes one request through connection, gate and answer, within its time limits.

    ``keeps``: its connection may serve others after it. ``rest_s`` bounds, where it is given, the time that
    is spent on what follows an answer's status line.
    """

    def __init__(
        self,
        gate: Gate,
        answer: Answer,
        share: ReadingShare,
        idle: IdleConnections,
        room: BodyRoom,
        *,
        timeout_s: float,
        rest_s: float | None = None,
        keeps: bool = True,
    ) -> None:
        self.phase = Phase.CONNECTING
        self.gate_error: Exception | None = None
        self.answer = answer
        self.deadline = asyncio.timeout(timeout_s)
        self.uploading = False
        self._began_at = self._written_at = self._status_at = 0.0
        self._timeout_s = timeout_s
        self._rest_s = rest_s
        self._keeps = keeps
        self._gate = gate
        self._share = share
        self._idle = idle
        self._room = room
        self._connection: Connection | None = None
        self._protocol: ResponseHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        answer.on_status = self._answered

    async def middleware(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Attach this exchange to aiohttp's request, and keep aiohttp from sending that twice."""
        cast("GatedRequest", request).exchange = self
        for _ in range(_CLEAN_TRIES):
            with suppress(UncleanError):
                return await self._once(request, handler)
        raise EgressError(Fault.CONNECT, "the server speaks before it is asked")

    async def pass_gate(self, connection: Connection) -> None:
        """Hold the ready connection until the gate opens; the time limit starts anew then."""
        if not _is_clean(connection):
            raise UncleanError
        self._connection = connection
        self._protocol = connection.protocol
        self._transport = connection.transport
        if self._transport is not None:
            self._reader = AnswerReader.before(self._transport, self._share, self._idle)
        self.phase = Phase.AT_GATE
        self.deadline.reschedule(None)
        await self._wait_at_gate(connection)
        self.deadline.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
        if self._reader is None or connection.closed or not _is_clean(connection):
            raise EgressError(Fault.CONNECT, "the connection was closed before the request could start")
        self._reader.begin(self.answer, self._room)
        self.phase = Phase.WRITING
        self._began_at = asyncio.get_running_loop().time()

    @property
    def phases(self) -> Phases:
        """Say where the time went, once it is answered. An answer that came before all was written was not
        waited for.
        """
        written_at = min(self._written_at or self._status_at, self._status_at)
        return Phases(written_at - self._began_at, self._status_at - written_at)

    @property
    def took_connection(self) -> bool:
        """Whether it had one of those that may serve others."""
        return self._keeps and self._connection is not None

    async def until_answered(self) -> None:
        """Return when nothing more of the answer is to be read, and its connection given back or closed."""
        await self.answer.over
        if self._reader is not None:
            self._reader.end()
        if self._connection is not None and self._keeps and self.answer.reusable and not self.uploading:
            self._give_back(self._connection)
        else:
            await self.hang_up()

    async def _wait_at_gate(self, connection: Connection) -> None:
        try:
            await self._gate()
        except Exception as error:
            self.gate_error = error
            self._give_back(connection)
            raise

    def _give_back(self, connection: Connection) -> None:
        connection.release()
        if self._reader is not None:
            self._reader.rest()

    async def _once(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except (ClientOSError, ServerDisconnectedError) as error:
            raise NotResentError(error) from None

    def abort(self) -> None:
        """Close the connection at once, dropping what is still to be written, if it is still ours."""
        if self._transport is not None and self._is_ours():
            self._transport.abort()

    async def hang_up(self) -> None:
        """Close the connection at once, and return when its socket is closed."""
        if self._reader is not None and self._is_ours():
            self._reader.end()
        if self._connection is None or self._protocol is None or not self._is_ours():
            return
        closed = self._protocol.closed
        self.abort()
        self._connection.close()
        if closed is not None:
            with suppress(ClientError):
                await closed

    def _answered(self) -> None:
        """The status is known: the time for the rest begins, where it has a limit of its own."""
        self._status_at = asyncio.get_running_loop().time()
        until = self.deadline.when()
        if self._rest_s is not None and until is not None:
            self.deadline.reschedule(min(until, self._status_at + self._rest_s))

    def written(self) -> None:
        """All of the request has been given to the connection."""
        self._written_at = asyncio.get_running_loop().time()

    def _is_ours(self) -> bool:
        """Whether nobody else can have the connection: one that lies in the pool has kept its transport."""
        if self._connection is None or self._protocol is None:
            return False
        return self._connection.protocol is not None or self._protocol.transport is None


class GatedRequest(ClientRequest):
    """A request that passes its exchange's gate before its first byte."""

    exchange: GatedExchange

    def update_expect_continue(self, expect: bool = False) -> None:
        """Never wait for a "100 Continue": a server that sends none would use up the time limit."""

    async def send(self, conn: Connection) -> ClientResponse:
        """Write the request when the gate has opened."""
        await self.exchange.pass_gate(conn)
        response = await super().send(conn)
        self.exchange.phase = Phase.SENT
        if not self.exchange.uploading:
            self.exchange.written()
        return response

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body, and let it be known while there is more of it to be written."""
        self.exchange.uploading = True
        protocol = conn.protocol
        await super().write_bytes(writer, conn, content_length)
        self.exchange.uploading = False
        self.exchange.written()
        # What went wrong was told to the connection, not raised.
        if protocol is not None and (failure := protocol.exception()) is not None:
            let_go_of_frames(failure)


class UnreadResponse(ClientResponse):
    """aiohttp's response, which it does not read: the exchange's own reader does."""

    async def start(self, connection: Connection) -> ClientResponse:  # noqa: ARG002  # aiohttp's signature
        """Leave the connection alone."""
        return self


def _is_clean(connection: Connection) -> bool:
    """Whether nothing has arrived unasked, for it would pass for the answer to the next request."""
    return connection.protocol is not None and not connection.protocol.should_close
