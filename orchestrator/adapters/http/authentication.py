"""Whose key a request carries."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from orchestrator.core.gateway.customers import Customers
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import NotAuthorized
from orchestrator.domain.recent import RecentFor
from orchestrator.ports.clock import Clock

TRUSTED_FOR_S = 2.0
"""A key that is revoked, or expires, works for no longer than this."""
REMEMBERED = 10_000
LONGEST_KEY = 512
_BY_KEY, _BY_ID = "key", "id"
_Known = tuple[str, str]
"""By what a caller is known, and that: an id is no key, whatever it reads like."""


class ApiKeyAuthenticator:
    """Looks keys up, and remembers the valid ones for a moment."""

    def __init__(self, customers: Customers, clock: Clock) -> None:
        self._customers = customers
        self._clock = clock
        self._known: RecentFor[_Known, Caller] = RecentFor(REMEMBERED, TRUSTED_FOR_S)

    async def caller(self, request: Request) -> Caller:
        """Name who calls.

        Raises:
            NotAuthorized: There is no valid key.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or len(key) > LONGEST_KEY:
            raise NotAuthorized("send your API key: 'Authorization: Bearer ck_live_…'")
        known_by = _BY_KEY, key
        known = self._known.get(known_by, self._clock.now())
        return known or await self._look_up(known_by, self._customers.caller_of)

    async def is_valid(self, request: Request) -> bool:
        """Whether a request's key still is: asked by what goes on for long."""
        try:
            await self.caller(request)
        except NotAuthorized:
            return False
        return True

    async def holder(self, key_id: str) -> Caller:
        """Name whose key has an id: for who has shown the key before.

        Raises:
            NotAuthorized: It is not valid any more.
        """
        known_by = _BY_ID, key_id
        known = self._known.get(known_by, self._clock.now())
        return known or await self._look_up(known_by, self._customers.caller_named)

    async def _look_up(self, known_by: _Known, find: Callable[[str], Awaitable[Caller | None]]) -> Caller:
        caller = await find(known_by[1])
        if caller is None:
            self._known.drop(known_by)
            raise NotAuthorized("the API key is unknown or revoked, or has expired")
        self._known.put(known_by, caller, self._clock.now())
        return caller
