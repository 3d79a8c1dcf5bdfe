"""Many jobs at once over HTTP: cancelled or replayed, by the filters of the list."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.job_filters import filter_in_document
from orchestrator.adapters.http.paging import read_cursor, write_cursor
from orchestrator.adapters.http.schema import ManyJobsIn, read_model, unknown_fields
from orchestrator.core.many_jobs import ENDED, OPEN, Done, ManyJobs
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.lifecycle import JobState
from orchestrator.ports.store import JobCursor, JobFilter

_Act = Callable[[JobFilter, int, JobCursor | None], Awaitable[Done]]


class ManyJobRoutes:
    """Cancel and replay by filter; the answer comes when it is done, and says where to go on."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._many = ManyJobs(backend.shard, backend.intake, per_s=backend.many_jobs_rps)

    async def cancel(self, request: Request) -> Response:
        """Cancel the jobs that fit and have not ended, the newest first; ``dry_run`` only counts them."""
        return await self._answer(request, "cancelled", OPEN, self._many.cancel)

    async def replay(self, request: Request) -> Response:
        """Make a new job of each that fits and has ended, the newest first; ``dry_run`` only counts them.
        Asked again within a day it makes none of the same job twice.
        """
        return await self._answer(request, "replayed", ENDED, self._many.replay)

    async def _answer(
        self, request: Request, status: str, states: frozenset[JobState], act: _Act
    ) -> Response:
        customer = await self._backend.keys.customer(request)
        document = await read_document(request, self._backend.bounds)
        if unknown := unknown_fields(ManyJobsIn, document):
            # A misspelt filter would mean all of them.
            raise InvalidFields([FieldError(name, "is no filter of jobs") for name in unknown])
        given = read_model(ManyJobsIn, document)
        wanted = filter_in_document(customer, given)
        before = read_cursor(given.cursor or "")
        if given.dry_run:
            count = await self._many.count(wanted, states)
            return json_response({"status": "dry_run", "jobs": count}, HTTPStatus.OK)
        done = await act(wanted, given.limit, before)
        answer = {
            "status": status,
            "jobs": done.done,
            "skipped": done.fitting - done.done,
            "next_cursor": write_cursor(done.next),
        }
        return json_response(answer, HTTPStatus.OK)
