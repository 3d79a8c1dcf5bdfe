"""Whose key a request carries, and what that key may do."""

from collections import OrderedDict

from starlette.requests import Request

from orchestrator.core.gateway.customers import Customers
from orchestrator.domain.errors import NotAuthorized, NotPermitted
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.roles import Caller, Role
from orchestrator.ports.clock import Clock

TRUSTED_FOR_S = 2.0
"""A revoked key works for no longer than this."""
REMEMBERED = 10_000
LONGEST_KEY = 512


class ApiKeyAuthenticator:
    """Looks keys up, and remembers the valid ones for a moment."""

    def __init__(self, customers: Customers, clock: Clock) -> None:
        self._customers = customers
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    async def customer(self, request: Request) -> CustomerId:
        """Name the customer.

        Raises:
            NotAuthorized: There is no valid key.
        """
        return (await self.caller(request)).customer

    async def admin(self, request: Request) -> Caller:
        """Name the operator who calls.

        Raises:
            NotAuthorized: There is no valid key.
            NotPermitted: The key is none of an operator's.
        """
        caller = await self.caller(request)
        if not caller.admin:
            raise NotPermitted("a key of the role admin is needed: 'ezthrottle keys create --role admin'")
        return caller

    async def caller(self, request: Request) -> Caller:
        """Name who calls.

        Raises:
            NotAuthorized: There is no valid key.
            NotPermitted: It is a region's.
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
            raise NotAuthorized("the API key is unknown or revoked")
        if caller.role is Role.REGION:
            raise NotPermitted(
                "this is a region's key: 'ezthrottle region' joins with it, and it does nothing else"
            )
        self._known[key] = (caller, self._clock.now() + TRUSTED_FOR_S)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return caller
