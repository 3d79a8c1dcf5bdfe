"""Errors as RFC 9457 problem documents; ``error`` is the one line that the SDKs show."""

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from orchestrator.domain.errors import EZThrottleError, InvalidFields, NotAuthorized, TryLater


def problem(
    status: HTTPStatus,
    slug: str,
    title: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> Response:
    """Write a problem document."""
    document = {
        "type": f"/problems/{slug}",
        "title": title,
        "status": status.value,
        "detail": detail,
        "error": detail.replace("\n", " "),
        **extra,
    }
    return Response(
        json.dumps(document),
        status_code=status.value,
        media_type="application/problem+json",
        headers=headers,
    )


def problem_of(error: EZThrottleError) -> Response:
    """Write the problem document of one of our errors."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    match error:
        case InvalidFields():
            extra["errors"] = [{"field": e.field, "message": e.message} for e in error.errors]
        case TryLater():
            headers["Retry-After"] = str(error.retry_after_s)
        case NotAuthorized():
            headers["WWW-Authenticate"] = "Bearer"
        case _:
            pass
    return problem(error.status, error.slug, error.title, str(error), headers=headers, **extra)
