"""Reading the request that failed out of an exception of an HTTP library, without importing any of them."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ezthrottle.exceptions import ForwardToEZThrottle

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

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})

# By module: the errors that a connection ends in, those of time, and those before anything was sent.
# httpx2 is httpx's successor, which openai's library has gone over to.
_HTTPX = ("httpx", "httpx2")
_CONNECTION_ERRORS = {
    **dict.fromkeys(_HTTPX, ("NetworkError", "TimeoutException", "RemoteProtocolError", "ProxyError")),
    "builtins": ("OSError",),  # those of `requests` are
    "urllib3.exceptions": ("TimeoutError", "ProtocolError", "NewConnectionError"),
}
_TIMEOUTS = {
    **dict.fromkeys(_HTTPX, ("TimeoutException",)),
    "requests": ("Timeout",),
    "urllib3.exceptions": ("TimeoutError",),
}
_NEVER_SENT = {
    **dict.fromkeys(_HTTPX, ("ConnectTimeout", "PoolTimeout")),
    "requests": ("ConnectTimeout",),
    "urllib3.exceptions": ("ConnectTimeoutError", "NewConnectionError"),
}


@dataclass(frozen=True)
class _Request:
    """A request as its library has it."""

    url: str
    method: str
    headers: Mapping[str, Any]
    body: Any


@dataclass(frozen=True)
class Forwarding:
    """Which failures are forwarded, and how: `fields` are those of the jobs that name none of their own.

    >>> Forwarding(frozenset({429})).job_behind(KeyError("no request"))
    """

    codes: frozenset[int]
    timeouts: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)

    def job_behind(self, error: Exception) -> dict[str, Any] | None:
        """Return the arguments of `submit_job` for the request that failed so, or None where it stays failed.

        Raises ValueError for a ForwardToEZThrottle without `url`.
        """
        if isinstance(error, ForwardToEZThrottle):
            return self._job(**_described(error))
        try:
            request = _request_of(error)
            if request is None or not self._forwards(error, request):
                return None
            body = _body(request.body)
        except (TypeError, ValueError, RuntimeError) as reason:
            _log.warning("A failed request stays failed, since it cannot be forwarded: %s", reason)
            return None
        headers = end_to_end_headers(request.headers)
        return self._job(url=request.url, method=request.method, headers=headers, body=body)

    def _forwards(self, error: Exception, request: _Request) -> bool:
        # Not its truth: a `requests` response with an error status is false.
        response = getattr(error, "response", None)
        if response is not None:
            return getattr(response, "status_code", None) in self.codes
        if not _any_is(error, _CONNECTION_ERRORS):
            return False
        uncertain = _any_is(error, _TIMEOUTS) and not _any_is(error, _NEVER_SENT)
        if not uncertain or self.timeouts or request.method.upper() in _IDEMPOTENT:
            return True
        _log.warning(
            "A %s that timed out stays failed, since it may have been carried out; "
            "auto_forward(..., forward_timeouts=True) forwards it all the same",
            request.method,
        )
        return False

    def _job(self, *, idempotent_key: str | None = None, **own: Any) -> dict[str, Any]:
        named = {name: value for name, value in own.items() if value or name not in self.fields}
        job = {**{name: value for name, value in self.fields.items() if value}, **named}
        # Each failure is one of its own: the same call may well be made, and fail, again tomorrow.
        return {**job, "idempotent_key": idempotent_key or str(uuid.uuid4())}


def end_to_end_headers(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return the headers without Host, Content-Length and those that concern one connection only."""
    texts = {name: _text(value) for name, value in headers.items()}
    listed = next((value for name, value in texts.items() if name.lower() == "connection"), "")
    dropped = _NOT_FORWARDED | {name.strip().lower() for name in listed.split(",")}
    return {name: value for name, value in texts.items() if name.lower() not in dropped}


def _described(error: ForwardToEZThrottle) -> dict[str, Any]:
    if not error.url:
        raise ValueError("ForwardToEZThrottle was raised without url; pass the request's url")
    names = ("url", "method", "headers", "body", "idempotent_key", "metadata", "webhooks", "regions")
    return {name: getattr(error, name) for name in names}


def _request_of(error: Exception) -> _Request | None:
    try:
        request: Any = getattr(error, "request", None)
    except RuntimeError:  # httpx raises it where no request was set
        return None
    if getattr(request, "url", None) and getattr(request, "method", None):
        body = request.body if hasattr(request, "body") else request.content
        return _Request(str(request.url), request.method, request.headers, body)
    return _request_of_urllib3(error)


def _request_of_urllib3(error: Exception) -> _Request | None:
    # Its errors name the pool only; the request is in the frame of the pool's urlopen(), which raised it.
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals.get("__name__") == "urllib3.connectionpool" and frame.f_code.co_name == "urlopen":
            local = frame.f_locals
            pool, port = local["self"], f":{local['self'].port}" if local["self"].port else ""
            url = f"{pool.scheme}://{pool.host}{port}{local['url']}"
            return _Request(url, local["method"], local["headers"] or {}, local["body"])
        trace = trace.tb_next
    return None


def _any_is(error: BaseException, kinds: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the error, or one that it was raised from, is of these kinds."""
    cause: BaseException | None = error
    while cause is not None:
        if any(isinstance(cause, _loaded(module, names)) for module, names in kinds.items()):
            return True
        reason = getattr(cause, "reason", None)
        # urllib3's error for the last of several attempts names what that one came to.
        cause = reason if isinstance(reason, BaseException) else cause.__cause__
    return False


def _loaded(module: str, names: tuple[str, ...]) -> tuple[type, ...]:
    # An error of a library exists only where the library is loaded.
    found = sys.modules.get(module)
    return tuple(getattr(found, name) for name in names) if found is not None else ()


def _body(body: Any) -> str | bytes | None:
    if not body:
        return None
    if not isinstance(body, (str, bytes, bytearray)):
        raise TypeError("its body is a stream")
    if isinstance(body, str):
        return body
    try:
        return body.decode()
    except UnicodeDecodeError:
        return bytes(body)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
