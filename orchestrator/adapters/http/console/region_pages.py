"""Regions: their nodes, versions and heartbeats; taken out of service, and back."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.domains import domains_document
from orchestrator.adapters.http.documents.overviews import regions_document
from orchestrator.core.gateway.targets import just_before
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import RegionName

TARGETS_SHOWN = 20


class RegionPages:
    """Shows every region, and drains one for operators."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._gateway = backend.gateway
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """Show every region with its nodes, and how long targets take to answer from each, by name."""
        begins, after = visit.query.get("target", ""), visit.query.get("after", "")
        targets = await self._gateway.targets.listed(
            visit.caller, most=TARGETS_SHOWN, after=just_before(begins) if begins else after
        )
        return self._pages.page(
            "regions.html",
            visit=visit,
            targets=domains_document(targets, visit.caller)["domains"],
            begins=begins,
            after=after,
            following=targets.domains[-1].name if targets.more else None,
            **regions_document(self._gateway.regions(), self._gateway.default_region),
        )

    async def drain(self, visit: Visit) -> Response:
        """Place nothing new in a region."""
        return await self._do(visit, self._gateway.administration.drain, "drained")

    async def undrain(self, visit: Visit) -> Response:
        """Let a region take work again."""
        return await self._do(visit, self._gateway.administration.undrain, "undrained")

    async def _do(
        self, visit: Visit, act: Callable[[Caller, RegionName], Awaitable[None]], said: str
    ) -> Response:
        await act(visit.caller, RegionName(visit.request.path_params["region"]))
        return RedirectResponse(f"{ROOT}/regions?said={said}", HTTPStatus.SEE_OTHER)
