"""Many jobs at once over HTTP: cancelled or replayed, by the filters of the list."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.jobs import counted_document, done_document
from orchestrator.adapters.http.job_filters import filter_in_document
from orchestrator.adapters.http.paging import read_cursor
from orchestrator.adapters.http.schema import ManyJobsIn, read_model, unknown_fields
from orchestrator.core.views import Done
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.ports.store import JobCursor, JobFilter

_Count = Callable[[JobFilter], Awaitable[int]]
_Act = Callable[[JobFilter, int, JobCursor | None], Awaitable[Done]]


class ManyJobRoutes:
    """Cancel and replay by filter; the answer comes when it is done, and says where to go on."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._many = backend.gateway.jobs.many

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel the jobs that fit and have not ended, the newest first; ``dry_run`` only counts them."""
        return await self._answer(request, caller, "cancelled", self._many.count_open, self._many.cancel)

    async def replay(self, request: Request, caller: Caller) -> Response:
        """Make a new job of each that fits and has ended, the newest first; ``dry_run`` only counts them.
        Asked again within a day it makes none of the same job twice.
        """
        return await self._answer(request, caller, "replayed", self._many.count_ended, self._many.replay)

    async def _answer(
        self, request: Request, caller: Caller, status: str, count: _Count, act: _Act
    ) -> Response:
        customer = caller.customer
        document = await read_document(self._backend, customer, request)
        if unknown := unknown_fields(ManyJobsIn, document):
            # A misspelt filter would mean all of them.
            raise InvalidFields([FieldError(name, "is no filter of jobs") for name in unknown])
        given = read_model(ManyJobsIn, document)
        wanted = filter_in_document(customer, given)
        before = read_cursor(given.cursor or "")
        if given.dry_run:
            return json_response(counted_document(await count(wanted)), HTTPStatus.OK)
        done = await act(wanted, given.limit, before)
        return json_response(done_document(status, done), HTTPStatus.OK)
