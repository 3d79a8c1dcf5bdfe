"""How the service stands: what is used, its regions, its targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ezthrottle._calls.call import Call
from ezthrottle._calls.filters import given
from ezthrottle._calls.paths import DOMAINS, REGIONS, USAGE
from ezthrottle._operations.operation import Operation

if TYPE_CHECKING:
    from ezthrottle.types import DomainPage, RegionsView, Usage


class Overviews(Operation):
    """What the service says of itself.

    >>> run(Overviews(service, client).usage())["open_jobs"]
    0
    """

    async def usage(self) -> Usage:
        """Return this customer's `open_jobs`, their limit, and what was used on each of the last `days`."""
        return await self._service.call(Call("GET", USAGE, expects=("open_jobs",)))

    async def regions(self) -> RegionsView:
        """Return the `regions`, which of them are up, and how long their attempts take."""
        return await self._service.call(Call("GET", REGIONS, expects=("regions",)))

    async def domains(self, limit: int | None = None, cursor: str | None = None) -> DomainPage:
        """Return a page of the `domains` that this customer has called, by name, from `cursor` on: each one's
        pace, queue, the signals in force, and the ways to it.

        The page's `next_cursor` leads to the next one, and is None on the last.
        """
        params = given(limit=limit, cursor=cursor)
        return await self._service.call(Call("GET", DOMAINS, params=params, expects=("domains",)))
