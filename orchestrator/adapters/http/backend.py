"""What every handler of the API needs, and what they share."""

from functools import wraps
from http import HTTPStatus
from typing import Any

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.access import KeyedHandler
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.incoming import HeldRoom, IncomingRoom
from orchestrator.adapters.http.large_answers import HeldResponse, ResultResponse, SharedResults
from orchestrator.adapters.http.strict_json import parse_object
from orchestrator.core.gateway.gateway import Gateway
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.json_bytes import json_bytes
from orchestrator.ports.store import StoredJob


class Backend(Struct, frozen=True, kw_only=True):
    """What the handlers need."""

    gateway: Gateway
    keys: ApiKeyAuthenticator
    bounds: SubmissionBounds
    results: SharedResults
    incoming: IncomingRoom = field(default_factory=IncomingRoom)


def paged(backend: Backend, handler: KeyedHandler) -> KeyedHandler:
    """Let a handler of lists make a page once there is room for one of the customer's, and hold that."""

    @wraps(handler)
    async def answer(request: Request, caller: Caller) -> Response:
        return HeldResponse(backend.results.page(caller.customer), lambda: handler(request, caller))

    return answer


async def read_document(backend: Backend, customer: CustomerId, request: Request) -> dict[str, Any]:
    """Read the body of a customer's request as one strict JSON object."""
    async with backend.incoming.held(customer, request, backend.bounds.body_bytes) as room:
        return await document_of(request, backend.bounds, room)


async def document_of(request: Request, bounds: SubmissionBounds, room: HeldRoom) -> dict[str, Any]:
    """Read a request's body as one strict JSON object, in room that is held for it."""
    return parse_object(await read_body(request, bounds.body_bytes, room.more_is_coming), bounds.json_depth)


def json_response(document: dict[str, Any], status: HTTPStatus) -> Response:
    """Answer with a JSON document."""
    return Response(json_bytes(document), status_code=status.value, media_type="application/json")


def shown_response(backend: Backend, stored: StoredJob, document: dict[str, Any]) -> Response:
    """Answer with the document of a job; a large result is sent from a copy that all its readers share."""
    if stored.result is not None or not stored.result_bytes:
        return json_response(document, HTTPStatus.OK)
    job = stored.job
    return ResultResponse(
        json_bytes(document), lambda: backend.results.borrow(job.customer, job.id, stored.result_bytes)
    )
