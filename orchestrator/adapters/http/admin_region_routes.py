"""Regions over HTTP, for operators: taken out of service, and back."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.documents.overviews import regions_document
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import RegionName


class AdminRegionRoutes:
    """Acts on regions; each answers with all of them as they stand then."""

    def __init__(self, backend: Backend) -> None:
        self._gateway = backend.gateway

    async def show(self, request: Request, caller: Caller) -> Response:
        """Show every region: its health, whether it drains, and what it has under way."""
        return self._shown()

    async def drain(self, request: Request, caller: Caller) -> Response:
        """Place nothing new in a region until ``:undrain``. What runs there ends; what may run nowhere else
        waits. Kept over restarts.
        """
        return await self._do(request, caller, self._gateway.administration.drain)

    async def undrain(self, request: Request, caller: Caller) -> Response:
        """Let a region take work again."""
        return await self._do(request, caller, self._gateway.administration.undrain)

    async def _do(
        self, request: Request, caller: Caller, act: Callable[[Caller, RegionName], Awaitable[None]]
    ) -> Response:
        await act(caller, RegionName(request.path_params["region"]))
        return self._shown()

    def _shown(self) -> Response:
        document = regions_document(self._gateway.regions(), self._gateway.default_region)
        return json_response(document, HTTPStatus.OK)
