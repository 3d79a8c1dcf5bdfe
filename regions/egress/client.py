"""The executors' HTTP client: aiohttp behind the ``Egress`` port, under an address policy."""

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import ClientSession

from orchestrator.domain.exchange import RESPONSE_BYTES_MOST, Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError, Gate, Timed
from regions.egress.answer import Answer
from regions.egress.answer_room import AnswerRoom
from regions.egress.dns import Lookup, SystemLookup
from regions.egress.exchange import GatedExchange
from regions.egress.faults import TIME_OVER, UnansweredError, egress_error
from regions.egress.frames import let_go_of_frames
from regions.egress.head import HEAD_BYTES_MOST
from regions.egress.request import WireRequest, wire_request
from regions.egress.sessions import Sessions, tls_context
from regions.egress.spares import SpareConnections
from regions.guard import AddressPolicy

STATUS_REST_S = 1.0
"""Where a status suffices: for what follows it, so that a connection that behaves can be used again."""
STATUS_BODY_BYTES_MOST = 64 * 1024


class AiohttpEgress:
    """Sends requests exactly as they are given, to permitted addresses only, and each of them once.

    ``max_response_bytes`` bounds an answer's body after its content coding was undone. ``keepalive_s`` is how
    long an idle connection is kept, in seconds: a little less than common servers keep theirs. ``ca_file``
    names certificates (PEM) to trust besides the system's. ``lookup`` replaces the system's resolver,
    and ``room`` is where answers that are being read are counted.
    It belongs to the event loop of its first exchange.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        max_response_bytes: int = RESPONSE_BYTES_MOST,
        keepalive_s: float = 4.0,
        ca_file: str | None = None,
        lookup: Lookup | None = None,
        room: AnswerRoom | None = None,
    ) -> None:
        self._policy = policy
        self._room = room or AnswerRoom()
        self._max_response_bytes = max_response_bytes
        self._keepalive_s = keepalive_s
        self._tls = tls_context(ca_file)
        self._system_lookup = SystemLookup()
        self._lookup = lookup or self._system_lookup
        self._sessions: Sessions | None = None
        self._under_way: set[GatedExchange] = set()
        self._spares = SpareConnections(self)
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        """Send ``request`` once ``gate`` has opened on a ready connection, and read the answer.

        Raises:
            EgressError: No answer could be had; neither its message nor its cause holds secrets.
        """
        wire = wire_request(request)
        sessions = self._open_sessions()
        exchange = self._new_exchange(request, gate, sessions)
        self._under_way.add(exchange)
        try:
            async with exchange.deadline:
                await _perform(
                    sessions.fresh if request.fresh_connection else sessions.pooled, wire, exchange
                )
            return _answered(exchange, timed)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # every failure gets its fault
            failure = error
        finally:
            self._under_way.discard(exchange)
        let_go_of_frames(failure)
        await exchange.hang_up()
        if isinstance(failure, asyncio.CancelledError) and exchange.took_connection:
            self._spares.make(wire.url)
        if isinstance(failure, TimeoutError) and exchange.answer.has_status:
            exchange.answer.cut(TIME_OVER)
            return exchange.answer.response()
        # Raised out here, the error carries no context: aiohttp's exceptions hold whole URLs and headers.
        try:
            raise self._meaning(failure, exchange, wire)
        finally:
            exchange.gate_error = None
            # Its deadline knows the task, and a cancelled one this frame: its connection would stay, TLS too.
            del failure, exchange

    async def close(self) -> None:
        """Close every connection; exchanges under way end with an error."""
        self._closed = True
        for exchange in self._under_way:
            exchange.abort()
        await self._spares.close()
        if self._sessions is not None:
            await self._sessions.close()
        self._system_lookup.close()

    def _new_exchange(self, request: HttpRequest, gate: Gate, sessions: Sessions) -> GatedExchange:
        body_most = STATUS_BODY_BYTES_MOST if request.status_suffices else self._max_response_bytes
        return GatedExchange(
            gate,
            Answer(asked_head=request.method.upper() == "HEAD", body_most=body_most),
            sessions.share,
            sessions.idle,
            self._room.open(request.owner, body_most + HEAD_BYTES_MOST, brief=request.status_suffices),
            timeout_s=request.timeout_ms / 1000,
            rest_s=STATUS_REST_S if request.status_suffices else None,
            keeps=not request.fresh_connection,
        )

    def _meaning(self, failure: BaseException, exchange: GatedExchange, wire: WireRequest) -> BaseException:
        if exchange.gate_error is not None:
            return exchange.gate_error
        if isinstance(failure, asyncio.CancelledError):
            return failure
        return egress_error(failure, exchange, wire.authority)

    def _open_sessions(self) -> Sessions:
        if self._closed:
            raise EgressError(Fault.CONNECT, "the client is closed")
        if self._sessions is None:
            self._sessions = Sessions.opened(
                self._policy, self._lookup, keepalive_s=self._keepalive_s, tls=self._tls
            )
        return self._sessions


async def _perform(session: ClientSession, wire: WireRequest, exchange: GatedExchange) -> None:
    response = await session.request(
        wire.method,
        wire.url,
        headers=wire.headers,
        data=wire.body,
        allow_redirects=False,
        middlewares=(exchange.middleware,),
    )
    try:
        await exchange.until_answered()
    finally:
        response.close()


def _answered(exchange: GatedExchange, timed: Timed | None) -> HttpResponse:
    response = _response(exchange.answer)
    if timed is not None:
        timed(exchange.phases)
    return response


def _response(answer: Answer) -> HttpResponse:
    if not answer.has_status:
        raise UnansweredError(answer.trouble)
    return answer.response()
