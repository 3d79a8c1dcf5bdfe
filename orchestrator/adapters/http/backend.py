"""What every handler of the API needs, and what they share."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.incoming import IncomingRoom
from orchestrator.adapters.http.large_answers import HeldResponse, ResultResponse, SharedResults
from orchestrator.adapters.http.strict_json import parse_object
from orchestrator.core.intake import Intake
from orchestrator.core.shard import Shard
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.histogram import Histogram
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.submission_bounds import MANY_JOBS_RPS, SubmissionBounds
from orchestrator.ports.store import DamagedError, JobSummary, StoredJob

API = "/api/v1"
JOBS_PATH = f"{API}/jobs"
JOB_ID = re.compile(r"job_[0-9]{1,20}_[0-9]{1,20}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What the handlers need."""

    shard: Shard
    intake: Intake
    keys: ApiKeyAuthenticator
    bounds: SubmissionBounds
    results: SharedResults
    incoming: IncomingRoom = field(default_factory=IncomingRoom)
    many_jobs_rps: float = MANY_JOBS_RPS
    commit_sizes: Histogram | None = None
    """Where the store shares commits between writes."""


Handler = Callable[[Request], Awaitable[Response]]


def paged(backend: Backend, handler: Handler) -> Handler:
    """Let a handler of lists make a page once there is room for one of the customer's, and hold that."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        customer = await backend.keys.customer(request)
        return HeldResponse(backend.results.page(customer), lambda: handler(request))

    return answer


async def read_document(request: Request, bounds: SubmissionBounds) -> dict[str, Any]:
    """Read the request's body as one strict JSON object."""
    return parse_object(await read_body(request, bounds.body_bytes), bounds.json_depth)


async def own_job(backend: Backend, customer: CustomerId, job_id: str) -> StoredJob:
    """Read a job of the customer's own, without its result where that is large.

    Raises:
        NotFound: There is none of that id, or it is somebody else's.
        Conflict: Its payload is not kept any more, or can't be read.
    """
    store = backend.shard.store
    try:
        stored = await store.look(JobId(job_id), customer) if JOB_ID.match(job_id) else None
    except DamagedError as error:
        await own_line(backend, customer, job_id)
        raise Damaged(error) from None
    if stored is not None and stored.job.customer == customer:
        return stored
    await own_line(backend, customer, job_id)
    raise Conflict("the job's request and answer are past their keeping; only its state is known")


class Damaged(Conflict):
    """What the job was can't be read any more; ``result`` is what can be of how it ended, as JSON."""

    def __init__(self, error: DamagedError) -> None:
        super().__init__(f"what was stored of the job can't be read any more ({error})")
        self.result = json.loads(error.result) if error.result else None


async def own_line(backend: Backend, customer: CustomerId, job_id: str) -> JobSummary:
    """Read what is known of a job of the customer's own, its payload kept or not.

    Raises:
        NotFound: There is none of that id, or it is somebody else's.
    """
    now_ms = backend.shard.clock.unix_ms()
    store = backend.shard.store
    found = await store.summary(JobId(job_id), now_ms, customer) if JOB_ID.match(job_id) else None
    if found is None or found.customer != customer:
        raise NotFound("there is no such job, or it is not yours")
    return found


def json_response(document: dict[str, Any], status: HTTPStatus) -> Response:
    """Answer with a JSON document."""
    return Response(_write(document), status_code=status.value, media_type="application/json")


def shown_response(backend: Backend, stored: StoredJob, document: dict[str, Any]) -> Response:
    """Answer with the document of a job; a large result is sent from a copy that all its readers share."""
    if stored.result is not None or not stored.result_bytes:
        return json_response(document, HTTPStatus.OK)
    job = stored.job
    return ResultResponse(
        _write(document), lambda: backend.results.borrow(job.customer, job.id, stored.result_bytes)
    )


_write = json.JSONEncoder(separators=(",", ":")).encode
