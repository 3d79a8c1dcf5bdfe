"""Regions: their nodes, versions and heartbeats; taken out of service, and back."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.overviews import regions_document
from orchestrator.domain.ids import RegionName
from orchestrator.domain.roles import Caller


class RegionPages:
    """Shows every region, and drains one for operators."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._gateway = backend.gateway
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """Show every region with its nodes."""
        document = regions_document(self._gateway.regions(), self._gateway.default_region)
        return self._pages.page("regions.html", visit=visit, **document)

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
