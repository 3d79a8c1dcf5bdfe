"""The executors' HTTP client: aiohttp behind the ``Egress`` port, under an address policy."""

import asyncio
import ssl
from http import HTTPStatus
from types import TracebackType
from typing import Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from orchestrator.domain.exchange import RESPONSE_BYTES_MOST, Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError, Gate
from regions.egress.body import read_body
from regions.egress.dns import GuardedDialler, GuardedResolver, Lookup, SystemLookup
from regions.egress.exchange import GatedExchange, GatedRequest
from regions.egress.faults import egress_error
from regions.egress.request import WireRequest, wire_request
from regions.guard import AddressPolicy

_AUTOMATIC_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_MAX_HEADER_BYTES = 16 * 1024
_NO_TIMEOUT = ClientTimeout()


class AiohttpEgress:
    """Sends requests exactly as they are given, to permitted addresses only, and each of them once.

    ``max_response_bytes`` bounds an answer's body after its content coding was undone. ``keepalive_s`` is how
    long an idle connection is kept, in seconds: a little less than common servers keep theirs. ``ca_file``
    names certificates (PEM) to trust besides the system's. ``lookup`` replaces the system's resolver.
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
    ) -> None:
        self._policy = policy
        self._max_response_bytes = max_response_bytes
        self._keepalive_s = keepalive_s
        self._tls = _tls_context(ca_file)
        self._system_lookup = SystemLookup()
        self._lookup = lookup or self._system_lookup
        self._session: ClientSession | None = None
        self._under_way: set[GatedExchange] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def exchange(self, request: HttpRequest, gate: Gate) -> HttpResponse:
        """Send ``request`` once ``gate`` has opened on a ready connection, and read the answer.

        Raises:
            EgressError: No answer could be had; neither its message nor its cause holds secrets.
        """
        wire = wire_request(request)
        session = self._open_session()
        exchange = GatedExchange(gate, request.timeout_ms / 1000)
        self._under_way.add(exchange)
        try:
            async with exchange.deadline:
                return await self._perform(session, wire, exchange)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # every failure gets its fault
            failure = error
        finally:
            self._under_way.discard(exchange)
        await exchange.hang_up()
        # Raised out here, the error carries no context: aiohttp's exceptions hold whole URLs and headers.
        try:
            raise self._meaning(failure, exchange, wire)
        finally:
            del failure

    async def close(self) -> None:
        """Close every connection; exchanges under way end with an error."""
        self._closed = True
        for exchange in self._under_way:
            exchange.abort()
        if self._session is not None:
            await self._session.close()
        self._system_lookup.close()

    async def _perform(
        self, session: ClientSession, wire: WireRequest, exchange: GatedExchange
    ) -> HttpResponse:
        response = await session.request(
            wire.method,
            wire.url,
            headers=wire.headers,
            data=wire.body,
            allow_redirects=False,
            middlewares=(exchange.middleware,),
        )
        try:
            return await self._read(response, wire.authority)
        finally:
            if not response.closed:
                response.close()
                await exchange.hang_up()

    async def _read(self, response: ClientResponse, authority: str) -> HttpResponse:
        if response.status < HTTPStatus.CONTINUE:
            raise EgressError(Fault.BROKEN, f"{authority}: the answer is not HTTP")
        headers = _joined_headers(response.raw_headers)
        coding = headers.get("content-encoding", "")
        body = await read_body(response.content, coding, self._max_response_bytes)
        if body.decoded:
            headers.pop("content-encoding")
            headers.pop("content-length", None)
        return HttpResponse(
            status=response.status, headers=headers, body=body.content, truncated=body.truncated
        )

    def _meaning(self, failure: BaseException, exchange: GatedExchange, wire: WireRequest) -> BaseException:
        if exchange.gate_error is not None:
            return exchange.gate_error
        if isinstance(failure, asyncio.CancelledError):
            return failure
        return egress_error(failure, exchange, wire.authority)

    def _open_session(self) -> ClientSession:
        if self._closed:
            raise EgressError(Fault.CONNECT, "the client is closed")
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> ClientSession:
        connector = TCPConnector(
            limit=0,
            resolver=GuardedResolver(self._policy, self._lookup),
            socket_factory=GuardedDialler(self._policy),
            keepalive_timeout=self._keepalive_s,
            ssl=self._tls,
        )
        return ClientSession(
            connector=connector,
            request_class=GatedRequest,
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=_AUTOMATIC_HEADERS,
            auto_decompress=False,
            trust_env=False,
            timeout=_NO_TIMEOUT,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _joined_headers(raw: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        if name in joined:
            separator = "\n" if name == "set-cookie" else ", "
            value = f"{joined[name]}{separator}{value}"
        joined[name] = value
    return joined


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
