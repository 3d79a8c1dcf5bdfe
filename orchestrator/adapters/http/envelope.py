"""The envelope that the published SDKs send: a call of this API, wrapped in another.

The service answers for itself only: whatever host the envelope names, the call goes nowhere else.
"""

import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.incoming import IncomingRoom
from orchestrator.adapters.http.paths import with_single_slashes
from orchestrator.adapters.http.schema import ProxyIn, read_model
from orchestrator.adapters.http.strict_json import parse_object
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields, TooLarge
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds

ENVELOPE_FACTOR = 2
"""An envelope holds its body as an escaped string, so it may be larger than the body's own limit. Not as
large as a batch: it is read in one piece, and 16 MiB would hold up everybody for a tenth of a second.
"""
BASE = "http://service"
HANDED_ON = ("authorization", "traceparent")
CONTENT_HEADERS = ("content-type", "retry-after")
STATUS_SHOWN: dict[int, int] = {HTTPStatus.ACCEPTED: HTTPStatus.CREATED}
"""By inner status: to the published Go client nothing but 201 is a job that was taken; the others take it."""


class Envelope:
    """Opens envelopes and hands their content to the application itself."""

    def __init__(
        self,
        app: Starlette,
        incoming: IncomingRoom,
        bounds: SubmissionBounds,
        prefix: str,
    ) -> None:
        self._app = app
        self._incoming = incoming
        self._bounds = bounds
        self._prefix = prefix

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Run the wrapped call as the outer key's customer; that key's role decides on it."""
        body = await self._read(caller.customer, request)
        envelope = read_model(ProxyIn, parse_object(body, self._bounds.json_depth))
        inner = await self._answered(request, self._inner_call(envelope, request.headers))
        return _denied(inner) if inner.status_code == httpx.codes.TOO_MANY_REQUESTS else _allowed(inner)

    async def _read(self, customer: CustomerId, request: Request) -> bytearray:
        most = ENVELOPE_FACTOR * self._bounds.body_bytes
        try:
            async with self._incoming.held(customer, request, most) as room:
                return await read_body(request, most, room.more_is_coming)
        except TooLarge:
            remedy = f"send a large batch to {self._prefix}/jobs:batch, without an envelope"
            raise TooLarge(f"the envelope is larger than {most} bytes: {remedy}") from None

    async def _answered(self, request: Request, call: httpx.Request) -> httpx.Response:
        """Let the application answer a call that comes from where its envelope came from."""
        client = (request.client.host, request.client.port) if request.client else ("", 0)
        transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False, client=client)
        inner = await transport.handle_async_request(call)
        await inner.aread()
        return inner

    def _inner_call(self, envelope: ProxyIn, outer: Headers) -> httpx.Request:
        headers = {name.encode(): outer[name].encode("latin-1") for name in HANDED_ON if name in outer}
        headers[b"content-type"] = b"application/json"
        try:
            path = self._own_path(envelope.target_url)
            url = httpx.URL(BASE).join(path)
            call = httpx.Request(envelope.method, url, content=envelope.body.encode(), headers=headers)
        except (ValueError, httpx.InvalidURL):
            raise self._not_own() from None
        # Only now are escapes and dots undone, as the application will see them.
        path = with_single_slashes(call.url.path)
        if path.rstrip("/") == f"{self._prefix}/proxy" or not self._is_known(call):
            raise self._not_own()
        if call.url.path.rstrip("/").endswith("/stream"):
            message = "an event stream has no end to put into an envelope: ask for it directly, or use ?wait="
            raise InvalidFields([FieldError("target_url", message)])
        return call

    def _is_known(self, call: httpx.Request) -> bool:
        scope = {"type": "http", "path": call.url.path, "method": call.method, "headers": []}
        return any(route.matches(scope)[0] is not Match.NONE for route in self._app.routes)

    def _own_path(self, target_url: str) -> str:
        parts = urlsplit(target_url)
        path = with_single_slashes(parts.path)
        if not path.startswith(f"{self._prefix}/") or ".." in path:
            raise self._not_own()
        return path + (f"?{parts.query}" if parts.query else "")

    def _not_own(self) -> InvalidFields:
        message = f"must be <base>{self._prefix}/… of this service, and not its proxy"
        return InvalidFields([FieldError("target_url", message)])


def _allowed(inner: httpx.Response) -> Response:
    headers = {name: inner.headers[name] for name in CONTENT_HEADERS if name in inner.headers}
    forwarded: dict[str, Any] = {
        "status_code": int(STATUS_SHOWN.get(inner.status_code, inner.status_code)),
        "headers": headers,
        "body": inner.text,
    }
    return JSONResponse({"status": "allowed", "forwarded_response": forwarded})


def _denied(inner: httpx.Response) -> Response:
    wait_s = int(inner.headers.get("retry-after", "1"))
    document = {
        "status": "denied",
        "error": inner.json().get("error", "over a limit"),
        "retry_at": int((time.time() + wait_s) * 1000),
    }
    return JSONResponse(document, status_code=inner.status_code, headers={"Retry-After": str(wait_s)})
