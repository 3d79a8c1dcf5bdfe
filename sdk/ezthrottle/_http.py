"""The SDK's use of httpx: pooled clients, redirects, and a response that knows `ok`.

Nothing imports this module before a client is made: httpx takes some 100 ms to load, and a program that
only verifies webhooks has no need of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Union

import httpx

from ._flow import Flow
from ._version import __version__

AnyClient = Union[httpx.Client, httpx.AsyncClient]

CONNECT_TIMEOUT_S = 5.0
MOST_REDIRECTS = 30

_HEADERS = {"User-Agent": f"ezthrottle-python/{__version__}"}


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
        """Return the same answer, already read, as this class."""
        # Built from its parts, a compressed answer would be decoded a second time.
        own = cls.__new__(cls)
        own.__dict__.update(response.__dict__)
        return own


@lru_cache(maxsize=1)
def _tls() -> SSLContext:
    # Reading the certificates takes some 40 ms, which every short-lived client would spend again.
    return httpx.create_ssl_context()


def pooled_client() -> httpx.Client:
    """Return a client that keeps connections, and no cookies."""
    return httpx.Client(verify=_tls(), headers=_HEADERS, cookies=_no_cookies())


def pooled_async_client() -> httpx.AsyncClient:
    """Return an asyncio client that keeps connections, and no cookies."""
    return httpx.AsyncClient(verify=_tls(), headers=_HEADERS, cookies=_no_cookies())


def time_limits(timeout: float) -> httpx.Timeout:
    """Return the limits of one exchange: `timeout` seconds of silence, and less for connecting."""
    return httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT_S))


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


def following_redirects(http: AnyClient, request: httpx.Request) -> Flow[Response]:
    """Send `request`, and go where the answers point.

    Cookies that are set on the way go along, and are forgotten at the end. Raises httpx.TooManyRedirects
    after 30, and what httpx raises for the exchange itself.
    """
    cookies, history = httpx.Cookies(), list[httpx.Response]()
    while len(history) <= MOST_REDIRECTS:
        response: httpx.Response = yield partial(http.send, request, follow_redirects=False)
        response.history = list(history)
        if response.next_request is None:
            return Response.of(response)
        history.append(response)
        cookies.extract_cookies(response)
        request = response.next_request
        cookies.set_cookie_header(request)
    raise httpx.TooManyRedirects(f"more than {MOST_REDIRECTS} redirects", request=request)


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
