"""The clients of httpx that connections are pooled in.

Nothing imports httpx before a client of ours is made: it takes some 100 ms to load, and a program that only
verifies webhooks has no need of it.
"""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from ezthrottle._http.lanes import MOST_SOCKETS
from ezthrottle._version import __version__

CONNECT_TIMEOUT_S = 5.0

_HEADERS = {"User-Agent": f"ezthrottle-python/{__version__}"}
_LIMITS = httpx.Limits(max_connections=MOST_SOCKETS, max_keepalive_connections=MOST_SOCKETS)


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


def _shared() -> dict[str, Any]:
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return {"headers": _HEADERS, "cookies": no_cookies, "limits": _LIMITS, "trust_env": False}
