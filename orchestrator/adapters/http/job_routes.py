"""Jobs over HTTP: look at one, follow it, cancel it, run it again."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, shown_response
from orchestrator.adapters.http.documents.jobs import (
    cancelled_document,
    job_document,
    page_document,
    remains_document,
    replayed_document,
)
from orchestrator.adapters.http.event_stream import EventResponse, JobEvents, StreamSlots
from orchestrator.adapters.http.job_filters import filter_in_query
from orchestrator.adapters.http.paging import read_cursor, read_limit, wrong
from orchestrator.adapters.http.readers import view_without_bodies
from orchestrator.core.views import JobRemains
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import NotPermitted
from orchestrator.domain.ids import JobId
from orchestrator.domain.results.progress import Told

WAIT_MOST_S = 60.0


class JobRoutes:
    """Look at a job, and end it or run it again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs = backend.gateway.jobs
        self._clock = backend.gateway.clock
        self._streams = StreamSlots(backend.bounds.streams)

    async def show(self, request: Request, caller: Caller) -> Response:
        """Show one job: what it asks for, and what became of it. ``?wait=SECONDS`` waits for its end, at most
        60; ``?include=body`` shows the bodies of its requests.
        """
        customer = caller.customer
        with_bodies = _includes_bodies(request.query_params.get("include", ""), caller)
        job_id = request.path_params["job_id"]
        if wait_s := _wait_seconds(request.query_params.get("wait")):
            await self._jobs.wait_for_end(customer, job_id, wait_s)
        view = await self._jobs.show(customer, job_id)
        if not caller.sees_bodies:
            view = await view_without_bodies(self._backend.results, view)
        if isinstance(view, JobRemains):
            return json_response(remains_document(view), HTTPStatus.OK)
        return shown_response(self._backend, view.stored, job_document(view, with_bodies=with_bodies))

    async def stream(self, request: Request, caller: Caller) -> Response:
        """Send a job's events as they happen, and those that were missed first; its end ends the stream.

        429 where the customer has too many streams open.
        """
        customer = caller.customer
        follower = await self._jobs.follow(customer, request.path_params["job_id"])
        told = Told.read(request.headers.get("last-event-id", ""))
        if told.end:
            # To an EventSource, 204 means: do not come again.
            return Response(status_code=HTTPStatus.NO_CONTENT)
        over = self._streams.take(customer)
        events = JobEvents(
            follower,
            self._clock,
            self._backend.results,
            told,
            may_listen=lambda: self._backend.keys.is_valid(request),
            with_bodies=caller.sees_bodies,
        )
        return EventResponse(events, over)

    async def list_jobs(self, request: Request, caller: Caller) -> Response:
        """List the customer's jobs that fit, newest first; ``next_cursor`` is null on the last page."""
        query = request.query_params
        page = await self._jobs.listed(
            filter_in_query(caller.customer, query),
            most=read_limit(query.get("limit", "")),
            before=read_cursor(query.get("cursor", "")),
        )
        return json_response(page_document(page), HTTPStatus.OK)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel a job: its webhooks hear of it, its children do not begin; 409 where it has ended."""
        job_id = await self._jobs.cancel(caller.customer, request.path_params["job_id"])
        return json_response(cancelled_document(job_id), HTTPStatus.OK)

    async def replay(self, request: Request, caller: Caller) -> Response:
        """Make a new job of a finished one: the same request, under a key of its own."""
        job_id = JobId(request.path_params["job_id"])
        taken = await self._jobs.replay(caller.customer, job_id)
        return json_response(replayed_document(taken, job_id, self._now_ms()), HTTPStatus.ACCEPTED)

    def _now_ms(self) -> int:
        return self._clock.unix_ms()


def _includes_bodies(text: str, caller: Caller) -> bool:
    if text not in ("", "body"):
        raise wrong("include", "must be body, or left out")
    if text and not caller.sees_bodies:
        raise NotPermitted("a key of the role read shows no bodies: leave 'include' out")
    return text == "body"


def _wait_seconds(text: str | None) -> float:
    try:
        wait_s = float(text or 0)
    except ValueError:
        return 0.0
    return min(wait_s, WAIT_MOST_S) if wait_s > 0 else 0.0
