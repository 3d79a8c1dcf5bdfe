"""How the service is, over HTTP."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.documents.service import (
    health_document,
    not_ready_message,
    readiness_document,
)
from orchestrator.adapters.telemetry import render_metrics
from orchestrator.domain.errors import NotReady
from orchestrator.runtime.version import VERSION


class ServiceRoutes:
    """How the service is; no key needed."""

    def __init__(self, backend: Backend) -> None:
        self._gateway = backend.gateway

    async def health(self, request: Request) -> Response:
        """Say that the process lives, and of which version it is."""
        return json_response(health_document(VERSION), HTTPStatus.OK)

    async def readiness(self, request: Request) -> Response:
        """Say whether work can be taken and done, or why not."""
        if reason := self._gateway.why_not_ready:
            raise NotReady(not_ready_message(reason, self._gateway.regions()), retry_after_s=1)
        document = readiness_document(self._gateway.regions_up(), self._gateway.regions())
        return json_response(document, HTTPStatus.OK)

    async def metrics(self, request: Request) -> Response:
        """Show the counts in Prometheus' text format, or as OpenMetrics to who accepts that."""
        text, media_type = render_metrics(await self._gateway.numbers(), request.headers.get("accept"))
        return Response(text, media_type=media_type)
