"""Name resolution and dialling under an address policy: what was judged is what is connected to."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.ports.lifecycle import Closeable
from regions.guard import AddressPolicy


class ForbiddenAddressError(OSError):
    """The policy refuses the address; an OSError, so that the connector takes it for a failed connection."""


class Lookup(Protocol):
    """Turns a name into addresses."""

    async def __call__(self, host: str) -> Sequence[str]:
        """The addresses of ``host``, an IPv6 one with its zone if it has any.

        Raises:
            OSError: The name does not resolve.
        """


class SystemLookup(Closeable):
    """The operating system's resolver, on threads of its own.

    A name whose servers never answer holds its thread for the resolver's whole patience; in the pool
    that the event loop shares with everything else, a handful of those would hold up all others.
    """

    def __init__(self, *, threads: int = 32, patience_s: float = 10.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="egress-dns")
        self._patience_s = patience_s

    async def __call__(self, host: str) -> Sequence[str]:
        """Ask the system; OSError says that it knows no such name, or did not answer in time."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience_s):
                return await loop.run_in_executor(self._pool, _addresses, host)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer from the name servers") from None

    def close(self) -> None:
        """Let go of the threads, without waiting for a look-up under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    return [_address(*answer[4]) for answer in answers]


def _address(address: str | int, _port: int | bytes, _flow: int = 0, zone: int = 0) -> str:
    return f"{address}%{zone}" if zone else str(address)


class GuardedResolver(AbstractResolver):
    """Judges every address of a name and hands on exactly those, so that no second look-up can differ."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve ``host``.

        Raises:
            ForbiddenAddressError: The policy refuses the name, or at least one of its addresses.
            OSError: The name does not resolve.
        """
        if (reason := self._policy.name_refusal(host)) is not None:
            raise ForbiddenAddressError(reason)
        addresses = await self._lookup(host)
        for address in addresses:
            check(self._policy, address)
        results = [_result(host, port, address) for address in addresses]
        return [result for result in results if family in (socket.AF_UNSPEC, result["family"])]

    async def close(self) -> None:
        """Nothing to close: the look-up belongs to whoever made it."""


def check(policy: AddressPolicy, address: str) -> None:
    """Raise ForbiddenAddressError, which names the reason but not the address, unless ``policy`` permits."""
    if (reason := policy.refusal(address)) is not None:
        raise ForbiddenAddressError(reason)


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)


class GuardedDialler:
    """Makes the connector's sockets, and so sees every address dialled, literal ones too."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    def __call__(self, info: AddrInfoType) -> socket.socket:
        """Open a socket and begin to connect it to ``info``, or raise ForbiddenAddressError."""
        family, kind, protocol, _, sockaddr = info
        check(self._policy, sockaddr[0])
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        # The loop's own connect looks the address up first, in a thread, as if it were a name: meanwhile the
        # handshake is on its way. What fails here is told by that connect.
        with suppress(OSError):
            made.connect_ex(sockaddr)
        return made
