"""Reading the request that failed out of an exception of `requests` or `httpx`, without importing either."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Mapping
from typing import Any

from .exceptions import ForwardToEZThrottle

_log = logging.getLogger("ezthrottle")

# These describe one connection, or are set afresh by whoever sends the request next.
_NOT_FORWARDED = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def job_behind(error: Exception, codes: frozenset[int]) -> dict[str, Any] | None:
    """Return the arguments of `submit_job` for the request that failed so, or None where it stays failed.

    Raises ValueError for a ForwardToEZThrottle without `url`.
    """
    if isinstance(error, ForwardToEZThrottle):
        return _described_job(error)
    request = _request_of(error)
    if request is None or not _is_forwarded(error, codes):
        return None
    try:
        body = _text_body(request)
    except (TypeError, ValueError, RuntimeError) as reason:
        _log.warning("A failed request stays failed, since it cannot be forwarded: %s", reason)
        return None
    return _job(str(request.url), request.method, headers=end_to_end_headers(request.headers), body=body)


def end_to_end_headers(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return the headers without Host, Content-Length and those that concern one connection only."""
    texts = {name: _text(value) for name, value in headers.items()}
    listed = next((value for name, value in texts.items() if name.lower() == "connection"), "")
    dropped = _NOT_FORWARDED | {name.strip().lower() for name in listed.split(",")}
    return {name: value for name, value in texts.items() if name.lower() not in dropped}


def _described_job(error: ForwardToEZThrottle) -> dict[str, Any]:
    if not error.url:
        raise ValueError("ForwardToEZThrottle was raised without url; pass the request's url")
    return _job(
        error.url,
        error.method,
        headers=error.headers,
        body=error.body,
        key=error.idempotent_key,
        metadata=error.metadata,
        webhooks=error.webhooks,
        regions=error.regions,
    )


def _job(url: str, method: str, *, key: str | None = None, **fields: Any) -> dict[str, Any]:
    # Each failure is one of its own: the same call may well be made, and fail, again tomorrow.
    return {"url": url, "method": method, "idempotent_key": key or str(uuid.uuid4()), **fields}


def _request_of(error: Exception) -> Any:
    try:
        request = getattr(error, "request", None)
    except RuntimeError:  # httpx raises it where no request was set
        return None
    return request if getattr(request, "url", None) and getattr(request, "method", None) else None


def _is_forwarded(error: Exception, codes: frozenset[int]) -> bool:
    # Not its truth: a `requests` response with an error status is false.
    response = getattr(error, "response", None)
    if response is not None:
        return getattr(response, "status_code", None) in codes
    return _is_connection_error(error)


def _is_connection_error(error: Exception) -> bool:
    if isinstance(error, OSError):  # those of `requests` are
        return True
    httpx = sys.modules.get("httpx")  # an error of httpx exists only where httpx is loaded
    return httpx is not None and isinstance(
        error, (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, httpx.ProxyError)
    )


def _text_body(request: Any) -> str | None:
    body = request.body if hasattr(request, "body") else request.content
    if not body:
        return None
    if not isinstance(body, (str, bytes)):
        raise TypeError("its body is a stream")
    return body if isinstance(body, str) else body.decode()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
