"""Errors as RFC 9457 problem documents; ``error`` is the one line that the SDKs show."""

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.domain.errors import (
    BadRequest,
    Conflict,
    EZThrottleError,
    InvalidFields,
    MethodNotAllowed,
    NotAuthorized,
    NotFound,
    NotReady,
    TryLater,
)
from orchestrator.ports.store import DamagedError, StoreFailure
from orchestrator.runtime.faults import internal_fault

RETRY_STORE_AFTER_S = 5
PROBLEMS = "/problems"
"""Where each kind of problem is explained: answers name its page as their type."""
_OF_FRAMEWORK: Mapping[int, type[EZThrottleError]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.METHOD_NOT_ALLOWED: MethodNotAllowed,
}


class FaultShield:
    """Round an application: whatever goes wrong in it is answered with a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client is told something it can read
            response = problem_of(as_ours(error))
            # An answer that has begun can't be taken back: the server closes its connection.
            if not begun and scope["type"] == "http":
                await response(scope, receive, send)


def as_ours(error: Exception) -> EZThrottleError:
    """Put any error into the terms of the API."""
    match error:
        case EZThrottleError():
            return error
        case DamagedError():
            return Conflict(f"what was stored of it can't be read any more ({error})")
        case StoreFailure():
            return NotReady("the disk takes or gives nothing just now", RETRY_STORE_AFTER_S)
        case _:
            return internal_fault(error)


def problem_of(error: EZThrottleError, more_headers: Mapping[str, str] | None = None) -> Response:
    """Answer with the problem document of one of our errors."""
    headers = dict(more_headers or {})
    match error:
        case TryLater():
            headers["Retry-After"] = str(error.retry_after_s)
        case NotAuthorized():
            headers["WWW-Authenticate"] = "Bearer"
        case _:
            pass
    document = json.dumps(problem_document(error))
    media = "application/problem+json"
    return Response(document, status_code=error.status.value, media_type=media, headers=headers)


def add_error_handlers(app: Starlette) -> None:
    """Let an application answer with problem documents: to our errors, and to those of its framework."""
    app.add_exception_handler(EZThrottleError, _our_error)
    app.add_exception_handler(HTTPException, _http_error)


def problem_document(error: EZThrottleError) -> dict[str, Any]:
    """Write the problem document of one of our errors, as it also stands in a batch's answer."""
    extra: dict[str, Any] = {}
    match error:
        case InvalidFields():
            extra["errors"] = [{"field": e.field, "message": e.message} for e in error.errors]
        case TryLater():
            extra["retry_at"] = time.time_ns() // 1_000_000 + 1000 * error.retry_after_s
        case _:
            pass
    detail = str(error)
    return {
        "type": f"{PROBLEMS}/{error.slug}",
        "title": error.title,
        "status": error.status.value,
        "detail": detail,
        "error": detail.replace("\n", " "),
    } | extra


async def _our_error(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette hands it over
    if not isinstance(error, EZThrottleError):
        raise error
    return problem_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    phrase = HTTPStatus(error.status_code).phrase
    kind = _OF_FRAMEWORK.get(error.status_code, BadRequest)
    return problem_of(
        kind(f"{request.method} {request.url.path}: {phrase}; /docs lists the calls"), error.headers
    )
