"""A request from this machine to any server, past the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import httpx

from ezthrottle._http.lanes import Kind
from ezthrottle._http.runtime import Runtime

MOST_REDIRECTS = 30


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


async def send_directly(
    runtime: Runtime,
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    body: str | bytes | None,
    timeout: float,
) -> Response:
    """Send a request to any server, following redirects but for HEAD; `timeout` is in seconds.

    Raises what httpx raises.
    """
    target = httpx.URL(url)
    request = runtime.http(target, Kind.ELSEWHERE).build_request(
        method.upper(),
        target,
        headers=_encoded_headers(headers or {}),
        content=body,
        timeout=httpx.Timeout(timeout, pool=None),
    )
    lane = runtime.lane(Kind.ELSEWHERE)
    await lane.take(None)
    try:
        # requests.head() asks for the head of this address, not of where it points.
        if request.method == "HEAD":
            return Response.of(await runtime.send(request, Kind.ELSEWHERE))
        return await _following_redirects(runtime, request)
    finally:
        lane.give_back()


async def _following_redirects(runtime: Runtime, request: httpx.Request) -> Response:
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


def _encoded_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
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
