"""Whose key a request carries."""

from collections import OrderedDict

from starlette.requests import Request

from orchestrator.core.gateway.customers import Customers
from orchestrator.domain.errors import NotAuthorized
from orchestrator.domain.roles import Caller
from orchestrator.ports.clock import Clock

TRUSTED_FOR_S = 2.0
"""A key that is revoked, or expires, works for no longer than this."""
REMEMBERED = 10_000
LONGEST_KEY = 512


class ApiKeyAuthenticator:
    """Looks keys up, and remembers the valid ones for a moment."""

    def __init__(self, customers: Customers, clock: Clock) -> None:
        self._customers = customers
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    async def caller(self, request: Request) -> Caller:
        """Name who calls.

        Raises:
            NotAuthorized: There is no valid key.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or len(key) > LONGEST_KEY:
            raise NotAuthorized("send your API key: 'Authorization: Bearer ck_live_…'")
        known = self._known.get(key)
        if known is not None and self._clock.now() < known[1]:
            return known[0]
        return await self._look_up(key)

    async def _look_up(self, key: str) -> Caller:
        caller = await self._customers.caller_of(key)
        if caller is None:
            self._known.pop(key, None)
            raise NotAuthorized("the API key is unknown or revoked, or has expired")
        self._known[key] = (caller, self._clock.now() + TRUSTED_FOR_S)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return caller
