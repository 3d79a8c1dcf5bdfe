"""Jobs over HTTP: submit one, look at it, cancel it."""

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import (
    Backend,
    document_of,
    json_response,
    shown_response,
)
from orchestrator.adapters.http.batches import batch_text, read_batch
from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.documents.jobs import (
    batch_document,
    cancelled_document,
    job_document,
    page_document,
    remains_document,
    replayed_document,
    taken_document,
)
from orchestrator.adapters.http.event_stream import EventResponse, JobEvents, StreamSlots
from orchestrator.adapters.http.job_filters import filter_in_query
from orchestrator.adapters.http.paging import read_cursor, read_limit, wrong
from orchestrator.adapters.http.problems import as_ours, problem_document
from orchestrator.adapters.http.readers import view_without_bodies
from orchestrator.adapters.http.submissions import read_submission
from orchestrator.core.views import JobRemains, KnownAlready
from orchestrator.domain.errors import EZThrottleError, InvalidFields, NotPermitted
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.job import JobSpec
from orchestrator.domain.progress import Told
from orchestrator.domain.roles import Caller
from orchestrator.runtime.cooperative_yield import CooperativeYield

WAIT_MOST_S = 60.0
TRACEPARENT = "traceparent"


class JobRoutes:
    """Submit a job, and look at one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs = backend.gateway.jobs
        self._clock = backend.gateway.clock
        self._streams = StreamSlots(backend.bounds.streams)

    async def submit(self, request: Request, caller: Caller) -> Response:
        """Take one job: 202 once it is on disk, 200 where its key is known. A ``traceparent`` header says
        which trace it belongs to.
        """
        customer = caller.customer
        bounds = self._backend.bounds
        async with self._backend.incoming.held(customer, request, bounds.body_bytes) as room:
            spec, ignored = self._read(await document_of(request, bounds, room))
            taken = await self._jobs.submit(customer, spec, request.headers.get(TRACEPARENT))
        status = HTTPStatus.OK if isinstance(taken, KnownAlready) else HTTPStatus.ACCEPTED
        return json_response(taken_document(taken, ignored, self._now_ms()), status)

    async def submit_batch(self, request: Request, caller: Caller) -> Response:
        """Take up to 1,000 jobs; ``answers`` holds what each would have been answered alone, in order."""
        customer = caller.customer
        most = self._backend.bounds.batch_bytes
        async with self._backend.incoming.held(customer, request, most) as room:
            data = await read_body(request, most, room.more_is_coming)
            return await self._submit_batch(customer, data, request.headers.get(TRACEPARENT))

    async def _submit_batch(self, customer: CustomerId, data: bytearray, traceparent: str | None) -> Response:
        read = await self._read_batch(data)
        taken = await self._jobs.submit_many(customer, [spec for spec, _ in read], traceparent)
        now_ms = self._now_ms()
        answers = [
            problem_document(answer)
            if isinstance(answer, EZThrottleError)
            else taken_document(answer, ignored, now_ms)
            for answer, (_, ignored) in zip(taken, read, strict=True)
        ]
        return json_response(batch_document(answers), HTTPStatus.OK)

    async def _read_batch(self, data: bytearray) -> list[tuple[JobSpec | EZThrottleError, list[str]]]:
        breather = CooperativeYield(self._clock.now)
        read: list[tuple[JobSpec | EZThrottleError, list[str]]] = []
        text = await batch_text(data, breather.pause)
        for document in read_batch(text, self._backend.bounds):
            read.append(self._read_one(document))
            await breather.pause()
        return read

    def _read_one(
        self, document: dict[str, Any] | EZThrottleError
    ) -> tuple[JobSpec | EZThrottleError, list[str]]:
        if isinstance(document, EZThrottleError):
            return document, []
        try:
            return self._read(document)
        except Exception as error:  # noqa: BLE001  # one job's must not cost the others their answers
            return as_ours(error), []

    def _read(self, document: dict[str, Any]) -> tuple[JobSpec, list[str]]:
        reading = read_submission(document, self._backend.gateway.default_region)
        if reading.errors:
            raise InvalidFields([*reading.errors, *self._jobs.errors_in(reading.spec)])
        return reading.spec, reading.ignored

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
        return EventResponse(
            JobEvents(follower, self._clock, self._backend.results, told, with_bodies=caller.sees_bodies),
            over,
        )

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
