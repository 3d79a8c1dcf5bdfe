"""The SDK's use of httpx: pooled clients, redirects, and a response that knows `ok`.

Nothing imports this module before a client is made: httpx takes some 100 ms to load, and a program that
only verifies webhooks has no need of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx

from ._lanes import MOST_SOCKETS, Kind
from ._runtime import Runtime
from ._version import __version__

CONNECT_TIMEOUT_S = 5.0
MOST_REDIRECTS = 30

_HEADERS = {"User-Agent": f"ezthrottle-python/{__version__}"}
_LIMITS = httpx.Limits(max_connections=MOST_SOCKETS, max_keepalive_connections=MOST_SOCKETS)


class Response(httpx.Response):
    """An `httpx.Response` with the `ok` of `requests`.

    >>> client.request("https://api.example.com").ok
    True
    """

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return not self.is_error

    @classmethod
    def of(cls, response: httpx.Response) -> Response:
        """Turn an answer into one of this class."""
        # Built from its parts, a compressed answer would be decoded a second time.
        response.__class__ = cls
        return cast("Response", response)


def pooled_client(**options: Any) -> httpx.Client:
    """Return a client that keeps connections, and no cookies; it goes by `options` and no environment."""
    return httpx.Client(**_shared(), **options)


def pooled_async_client(**options: Any) -> httpx.AsyncClient:
    """Return such a client for asyncio."""
    return httpx.AsyncClient(**_shared(), **options)


def time_limits(timeout: float) -> httpx.Timeout:
    """Return the limits of one exchange: `timeout` seconds of silence, and less for connecting."""
    # None for the pool: whose turn it is has been decided before.
    return httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT_S), pool=None)


def encoded_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers with their values in Latin-1, or in UTF-8 where that cannot hold them."""
    # httpx by itself refuses what is not ASCII.
    return [(name.encode("ascii"), _encoded(value)) for name, value in headers.items()]


def _encoded(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


async def following_redirects(runtime: Runtime, request: httpx.Request) -> Response:
    """Send `request`, and go where the answers point.

    Cookies that are set on the way go along, and are forgotten at the end. Raises httpx.TooManyRedirects
    after 30, and what httpx raises for the exchange itself.
    """
    cookies, history = httpx.Cookies(), list[httpx.Response]()
    while len(history) <= MOST_REDIRECTS:
        response = await runtime.send(request, Kind.ELSEWHERE)
        response.history = list(history)
        if response.next_request is None:
            return Response.of(response)
        history.append(response)
        cookies.extract_cookies(response)
        request = response.next_request
        cookies.set_cookie_header(request)
    raise httpx.TooManyRedirects(f"more than {MOST_REDIRECTS} redirects", request=request)


def _shared() -> dict[str, Any]:
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return {"headers": _HEADERS, "cookies": no_cookies, "limits": _LIMITS, "trust_env": False}
