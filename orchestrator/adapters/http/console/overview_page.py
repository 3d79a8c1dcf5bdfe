"""The first page: how fast the service goes, what is wrong, and the latest jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.pulse import Pulse
from orchestrator.adapters.http.console.troubles import troubles_of
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.deliveries import pending_document
from orchestrator.adapters.http.documents.domains import domain_document
from orchestrator.adapters.http.documents.jobs import page_of_all_document
from orchestrator.adapters.http.documents.overviews import regions_document, usage_document
from orchestrator.core.views import Numbers, TargetNumbers
from orchestrator.ports.store import JobFilter

JOBS_SHOWN = 8
DOMAINS_SEEN = 50
ENDPOINTS_SEEN = 1


class OverviewPage:
    """Shows the whole: a customer's own, or to an operator the service."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._backend = backend
        self._gateway = backend.gateway
        self._pages = pages
        self._pulse = Pulse(backend.gateway.totals, backend.gateway.clock)

    async def show(self, visit: Visit) -> Response:
        """Show how the service does, as far as it concerns who looks."""
        regions = regions_document(self._gateway.regions(), self._gateway.default_region)
        wanted = JobFilter(customer=visit.whose)
        numbers = await self._gateway.numbers() if visit.caller.admin else None
        latest = await self._gateway.jobs.listed(wanted, most=JOBS_SHOWN)
        rates, course = self._pulse.look() if visit.caller.admin else (None, [])
        return self._pages.page(
            "overview.html",
            visit=visit,
            regions=regions["regions"],
            troubles=await self._troubles(visit, regions["regions"], numbers),
            rates=rates,
            course=course,
            numbers=numbers,
            usage=await self._usage(visit),
            jobs=page_of_all_document(latest)["jobs"],
        )

    async def _troubles(
        self, visit: Visit, regions: Sequence[Mapping[str, Any]], numbers: Numbers | None
    ) -> Sequence[Any]:
        pending = await self._gateway.deliveries.pending(
            visit.caller.customer, most=ENDPOINTS_SEEN, endpoint=None, after=None
        )
        return troubles_of(
            self._gateway.why_not_ready,
            regions,
            await self._domains(visit, numbers.busiest if numbers else ()),
            pending_document(pending, None)["endpoints"],
        )

    async def _domains(self, visit: Visit, busiest: Sequence[TargetNumbers]) -> list[dict[str, Any]]:
        """Give the targets that may be in trouble: the first by name, and for an operator the busiest."""
        page = await self._gateway.targets.listed(visit.caller, most=DOMAINS_SEEN, after="")
        views = {view.name: view for view in page.domains}
        for target in busiest:
            views.setdefault(target.name, self._gateway.targets.look(target.name))
        return [domain_document(view, visit.caller) for view in views.values()]

    async def _usage(self, visit: Visit) -> dict[str, Any] | None:
        """Give what a customer used; an operator is none."""
        if visit.caller.admin:
            return None
        usage = await self._gateway.customers.usage(visit.caller.customer)
        return usage_document(usage, self._backend.bounds.open_jobs)
