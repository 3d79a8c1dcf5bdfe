"""How a server is reached: with which certificates, and through which proxy of the environment.

httpx would read the proxy variables itself, but uses them for loopback as well, fails for some that are
usual (`NO_PROXY=[::1]`), and does not tell which one it went by.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Generic, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

from ezthrottle.exceptions import EZThrottleError

Http = TypeVar("Http")

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Way:
    """A way to servers; `variable` names where the proxy comes from.

    >>> Way(secure=False).proxy is None
    True
    """

    secure: bool
    proxy: str | None = None
    variable: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments for an httpx client that goes this way.

        Raises EZThrottleError where a variable of the environment cannot be used.
        """
        options: dict[str, Any] = {"verify": _authorities() if self.secure else _no_authorities()}
        if self.proxy is not None:
            options["proxy"] = self.proxy
        return options


class Ways:
    """The ways that the environment tells, as it is now.

    >>> Ways({"http": "http://proxy.example.com:3128"}).to(httpx.URL("http://127.0.0.1:8080")).proxy
    """

    def __init__(self, proxies: Mapping[str, str] | None = None) -> None:
        self._proxies = getproxies() if proxies is None else proxies

    def to(self, url: httpx.URL) -> Way:
        """Return the way to this address; none to loopback leads through a proxy."""
        direct = Way(secure=url.scheme == "https")
        kind = url.scheme if url.scheme in self._proxies else "all"
        proxy = self._proxies.get(kind)
        if not proxy or is_loopback(url.host) or proxy_bypass(url.host):
            return direct
        return Way(direct.secure, proxy if "://" in proxy else f"http://{proxy}", _variable(kind))


class Clients(Generic[Http]):
    """One httpx client for each way.

    >>> clients = Clients(httpx.Client)
    >>> clients.to(httpx.URL("http://127.0.0.1:1")) is clients.to(httpx.URL("http://127.0.0.1:2"))
    True
    """

    def __init__(self, make: Callable[..., Http]) -> None:
        self._make = make
        self._ways = Ways()
        self._by_way: dict[Way, Http] = {}

    def to(self, url: httpx.URL) -> Http:
        """Return the client for this address; raises EZThrottleError where the environment allows none."""
        way = self._ways.to(url)
        found = self._by_way.get(way)
        return self._by_way.setdefault(way, self._made(way)) if found is None else found

    def variable_for(self, url: httpx.URL) -> str | None:
        """Return the name of the variable whose proxy is used for this address, or None."""
        return self._ways.to(url).variable

    def made(self) -> list[Http]:
        """Return the clients that were needed so far."""
        return list(self._by_way.values())

    def _made(self, way: Way) -> Http:
        try:
            return self._make(**way.options())
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise EZThrottleError(
                f"{way.variable} names a proxy that cannot be used: {error}. "
                "Correct it, unset it, or add the host to NO_PROXY."
            ) from error


def is_loopback(host: str) -> bool:
    """Whether this names the machine itself.

    >>> [is_loopback(host) for host in ("localhost", "::1", "127.1", "example.com")]
    [True, True, True, False]
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _is_short_loopback(name)
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_loopback or inner.is_unspecified


def _is_short_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(socket.inet_aton(name)).is_loopback
    except OSError:
        return False


def _variable(kind: str) -> str:
    # In the order in which the standard library takes them.
    names = [name for name in os.environ if name.lower() == f"{kind}_proxy" and os.environ[name]]
    return min(names, key=lambda name: not name.islower(), default="The system's settings")


@lru_cache(maxsize=1)
def _authorities() -> ssl.SSLContext:
    # Reading the certificates takes some 40 ms, which every short-lived client would spend again.
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        named = " or ".join(name for name in _CERTIFICATE_VARIABLES if os.environ.get(name))
        raise EZThrottleError(
            f"The certificates that {named or 'this Python comes with'} should hold cannot be read: {error}."
        ) from error


@lru_cache(maxsize=1)
def _no_authorities() -> ssl.SSLContext:
    # For addresses without TLS. It trusts nobody, should it ever be used for one with it.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
