"""Connections made ahead. A cancelled request takes its connection with it, and the next one to that server
would wait for a new one: a region that lost a race would begin the next a round trip behind, or three within
TLS.
"""

import asyncio

from yarl import URL

from orchestrator.domain.exchange import HttpRequest
from orchestrator.ports.egress import Egress, EgressError
from orchestrator.ports.lifecycle import AsyncCloseable

DIALLED_MOST = 6
"""At a time, of all servers: of each server one."""
DIAL_TIMEOUT_MS = 5_000


class _MadeError(Exception):
    """The connection is made, and nothing is to be written to it."""


class SpareConnections(AsyncCloseable):
    """Those of one client, each in its pool once it is made. Whatever lies there already does as well."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._dials: dict[URL, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """Those that are begun."""
        return list(self._dials.values())

    def make(self, url: URL) -> None:
        """Begin one to the server of ``url``, unless one is begun, or too many are, or all is closed."""
        origin = url.origin()
        if not self._closed and origin not in self._dials and len(self._dials) < DIALLED_MOST:
            self._dials[origin] = asyncio.create_task(self._make(origin))

    async def close(self) -> None:
        """Give up those that are begun."""
        self._closed = True
        dials = self.under_way
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)

    async def _make(self, origin: URL) -> None:
        request = HttpRequest(method="GET", url=str(origin), timeout_ms=DIAL_TIMEOUT_MS)
        try:
            await self._egress.exchange(request, _leave_unused)
        except (_MadeError, EgressError):
            pass  # Whoever needs a connection will find out for himself why there is none.
        finally:
            del self._dials[origin]


async def _leave_unused() -> None:
    raise _MadeError
