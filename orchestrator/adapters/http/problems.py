"""Errors as RFC 9457 problem documents; ``error`` is the one line that the SDKs show."""

import json
import time
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from orchestrator.domain.errors import EZThrottleError, InvalidFields, NotAuthorized, TryLater


def problem(
    status: HTTPStatus, slug: str, title: str, detail: str, *, headers: dict[str, str] | None = None
) -> Response:
    """Answer with a problem document."""
    return _respond(_document(status, slug, title, detail), headers)


def problem_of(error: EZThrottleError) -> Response:
    """Answer with the problem document of one of our errors."""
    headers: dict[str, str] = {}
    match error:
        case TryLater():
            headers["Retry-After"] = str(error.retry_after_s)
        case NotAuthorized():
            headers["WWW-Authenticate"] = "Bearer"
        case _:
            pass
    return _respond(problem_document(error), headers)


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
    return _document(error.status, error.slug, error.title, str(error)) | extra


def _document(status: HTTPStatus, slug: str, title: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"/problems/{slug}",
        "title": title,
        "status": status.value,
        "detail": detail,
        "error": detail.replace("\n", " "),
    }


def _respond(document: dict[str, Any], headers: dict[str, str] | None) -> Response:
    return Response(
        json.dumps(document),
        status_code=document["status"],
        media_type="application/problem+json",
        headers=headers,
    )
