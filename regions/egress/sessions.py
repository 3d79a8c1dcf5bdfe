"""aiohttp's sessions, as the client uses them: where its connections are made, kept and let go of."""

import ssl
from functools import lru_cache
from typing import Self

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar
from msgspec import Struct

from regions.egress.connector import NarrowConnector
from regions.egress.dns import GuardedDialler, GuardedResolver, Lookup
from regions.egress.exchange import GatedRequest, UnreadResponse
from regions.egress.idle import IdleConnections
from regions.egress.reading_share import ReadingShare
from regions.guard import AddressPolicy

_AUTOMATIC_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_NO_TIMEOUT = ClientTimeout()


class Sessions(Struct, frozen=True):
    """What belongs to one event loop. Nothing ever comes back into the pool of ``fresh``."""

    pooled: ClientSession
    fresh: ClientSession
    share: ReadingShare
    idle: IdleConnections

    @classmethod
    def opened(
        cls, policy: AddressPolicy, lookup: Lookup, *, keepalive_s: float, tls: ssl.SSLContext
    ) -> Self:
        """Open them in the running loop."""

        def session() -> ClientSession:
            return _session(
                NarrowConnector(
                    limit=0,
                    resolver=GuardedResolver(policy, lookup),
                    socket_factory=GuardedDialler(policy),
                    keepalive_timeout=keepalive_s,
                    ssl=tls,
                )
            )

        return cls(session(), session(), ReadingShare(), IdleConnections())

    async def close(self) -> None:
        """Close every connection."""
        await self.pooled.close()
        await self.fresh.close()


def _session(connector: NarrowConnector) -> ClientSession:
    return ClientSession(
        connector=connector,
        request_class=GatedRequest,
        response_class=UnreadResponse,
        cookie_jar=DummyCookieJar(),
        skip_auto_headers=_AUTOMATIC_HEADERS,
        auto_decompress=False,
        trust_env=False,
        timeout=_NO_TIMEOUT,
    )


@lru_cache(maxsize=8)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Trust the system's certificates, and those in a file (PEM)."""
    # Reading the system's certificates takes some 40 ms, which every client of a process would spend again.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
