"""What customers used: one's own by day and month, and for an operator everybody's beside each other."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.overviews import most_used_document, usage_document
from orchestrator.adapters.http.paging import read_customer
from orchestrator.core.gateway.customers import DAYS_SHOWN
from orchestrator.domain.ids import CustomerId

COUNTED = ("accepted", "success", "failed", "cancelled", "attempts")
CUSTOMERS_SHOWN = 100


class UsagePage:
    """Shows what was used on the last 30 days (UTC)."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._customers = backend.gateway.customers
        self._open_most = backend.bounds.open_jobs
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """Show one customer's use, or everybody's, who used most first."""
        if visit.whose is None:
            return await self._show_all(visit)
        usage = await self._usage(read_customer("customer", visit.whose))
        months = by_month(usage["days"])
        most = max((day["accepted"] for day in usage["days"]), default=0)
        return self._pages.page("usage.html", visit=visit, usage=usage, months=months, most=most)

    async def _show_all(self, visit: Visit) -> Response:
        found = await self._customers.most_used(CUSTOMERS_SHOWN)
        document = most_used_document(found, DAYS_SHOWN)
        return self._pages.page("usage_of_all.html", visit=visit, **document)

    async def _usage(self, customer: CustomerId) -> dict[str, Any]:
        return usage_document(await self._customers.usage(customer), self._open_most)


def by_month(days: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Add days up by month (ISO 8601), as far as they are shown."""
    months: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for day in days:
        months[day["date"][:7]].append(day)
    return {
        month: {name: sum(day[name] for day in of_month) for name in COUNTED}
        for month, of_month in months.items()
    }
