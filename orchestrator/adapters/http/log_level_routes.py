"""How much each part of the service logs, over HTTP, for operators."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.service import levels_document
from orchestrator.adapters.http.schema import LogLevelIn, read_model
from orchestrator.domain.access.audit import Act
from orchestrator.domain.access.roles import Caller
from orchestrator.runtime.log_levels import log_levels, set_log_level


class LogLevelRoutes:
    """Shows and sets levels. They hold until the service is started anew."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._administration = backend.gateway.administration

    async def show(self, request: Request, caller: Caller) -> Response:
        """Show from which level on each part of the service logs."""
        return json_response(levels_document(log_levels()), HTTPStatus.OK)

    async def set_level(self, request: Request, caller: Caller) -> Response:
        """Let a part of the service log from a level on, until the service is started anew."""
        given = read_model(LogLevelIn, await read_document(self._backend, caller.customer, request))
        await self._administration.note(caller, Act.LOG_LEVEL_SET, given.component, level=given.level)
        set_log_level(given.component, given.level)
        return json_response(levels_document(log_levels()), HTTPStatus.OK)
