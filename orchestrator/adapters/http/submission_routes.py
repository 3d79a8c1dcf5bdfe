"""Submissions over HTTP: one job, or a batch of them."""

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, document_of, json_response
from orchestrator.adapters.http.batches import batch_text, read_batch
from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.documents.jobs import batch_document, taken_document
from orchestrator.adapters.http.problems import as_ours, problem_document
from orchestrator.adapters.http.submissions import read_submission
from orchestrator.core.views import KnownAlready
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import EZThrottleError, InvalidFields
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.runtime.cooperative_yield import CooperativeYield
from orchestrator.runtime.loop_turns import until_mail_has_left

TRACEPARENT = "traceparent"


class SubmissionRoutes:
    """Takes jobs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs = backend.gateway.jobs
        self._clock = backend.gateway.clock

    async def submit(self, request: Request, caller: Caller) -> Response:
        """Take one job: 202 once it is on disk, 200 where its key is known. A ``traceparent`` header says
        which trace it belongs to.
        """
        customer = caller.customer
        bounds = self._backend.bounds
        async with self._backend.incoming.held(customer, request, bounds.body_bytes) as room:
            spec, ignored = self._read(await document_of(request, bounds, room))
            taken = await self._jobs.submit(customer, spec, request.headers.get(TRACEPARENT))
            # What the job sends leaves first: the answer is written meanwhile.
            await until_mail_has_left()
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

    def _now_ms(self) -> int:
        return self._clock.unix_ms()
