"""The HTTP API. Handlers read strictly, ask the core, and write the contract's answers."""

from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.adapters.http.backend import API, JOBS_PATH, Backend
from orchestrator.adapters.http.delivery_routes import DeliveryRoutes
from orchestrator.adapters.http.docs_page import DocsPage
from orchestrator.adapters.http.domain_routes import DomainRoutes
from orchestrator.adapters.http.envelope import Envelope
from orchestrator.adapters.http.job_routes import WAIT_MOST_S, JobRoutes
from orchestrator.adapters.http.openapi import body_of, job_call, path_of, query_of
from orchestrator.adapters.http.overview_routes import OverviewRoutes
from orchestrator.adapters.http.paging import PAGE_DEFAULT, PAGE_MOST
from orchestrator.adapters.http.paths import normalised
from orchestrator.adapters.http.problems import FaultShield, as_ours, problem, problem_of
from orchestrator.adapters.http.schema import (
    BatchIn,
    PaceIn,
    ProxyIn,
    RedeliverIn,
    RotateIn,
    SecretsIn,
    SubmissionIn,
)
from orchestrator.adapters.http.secret_routes import SecretRoutes
from orchestrator.adapters.http.service_routes import ServiceRoutes
from orchestrator.domain.errors import EZThrottleError
from orchestrator.domain.lifecycle import JobState

_SECONDS = {"type": "number", "minimum": 0, "maximum": WAIT_MOST_S}
PAGE_QUERY = query_of(
    state={"type": "string", "enum": list(JobState)},
    limit={"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE_DEFAULT},
    cursor={"type": "string"},
)
NAMES_QUERY = query_of(
    limit={"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE_DEFAULT},
    cursor={"type": "string"},
)
DOMAIN_CALL = path_of("domain")
_TIME = {"type": "integer", "minimum": 0, "description": "Unix ms"}
DEAD_QUERY = query_of(
    endpoint={"type": "string"},
    since=_TIME,
    until=_TIME,
    limit={"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE_DEFAULT},
    cursor={"type": "string"},
)


def make_app(backend: Backend, *, with_metrics: bool = True) -> FastAPI:
    """Build the application; metrics that are bound apart are none of its business."""
    told = "An API dam: durable, paced, raced HTTP jobs."
    # No redirects: where one would lead is made of a header that anybody may write.
    app = FastAPI(
        title="EZThrottle",
        version="1",
        description=told,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    jobs, secrets, service = JobRoutes(backend), SecretRoutes(backend), ServiceRoutes(backend)
    overview, domains = OverviewRoutes(backend), DomainRoutes(backend)
    deliveries = DeliveryRoutes(backend)
    app.post(JOBS_PATH, status_code=202, openapi_extra=body_of(SubmissionIn))(jobs.submit)
    app.post(f"{JOBS_PATH}:batch", openapi_extra=body_of(BatchIn))(jobs.submit_batch)
    app.get(JOBS_PATH, openapi_extra=PAGE_QUERY)(jobs.list_jobs)
    app.get(f"{JOBS_PATH}/{{job_id}}", openapi_extra=job_call(wait=_SECONDS))(jobs.show)
    app.get(f"{JOBS_PATH}/{{job_id}}/stream", response_class=StreamingResponse, openapi_extra=job_call())(
        jobs.stream
    )
    app.post(f"{JOBS_PATH}/{{job_id}}/replay", status_code=202, openapi_extra=job_call())(jobs.replay)
    app.get(f"{API}/usage")(overview.usage)
    app.get(f"{API}/regions")(overview.regions)
    app.get(f"{API}/domains", openapi_extra=NAMES_QUERY)(overview.domains)
    for act in (domains.reset, domains.pause, domains.resume):
        app.post(f"{API}/domains/{{domain:path}}:{act.__name__}", openapi_extra=DOMAIN_CALL)(act)
    app.put(f"{API}/domains/{{domain:path}}/pace", openapi_extra=DOMAIN_CALL | body_of(PaceIn))(
        domains.set_pace
    )
    app.delete(f"{JOBS_PATH}/{{job_id}}", openapi_extra=job_call())(jobs.cancel)
    app.post(f"{API}/webhook-secrets", openapi_extra=body_of(SecretsIn))(secrets.create)
    app.get(f"{API}/webhook-secrets")(secrets.show)
    app.delete(f"{API}/webhook-secrets")(secrets.delete)
    app.post(f"{API}/webhook-secrets/rotate", openapi_extra=body_of(RotateIn))(secrets.rotate)
    app.post(f"{JOBS_PATH}/{{job_id}}/redeliver", status_code=202, openapi_extra=job_call())(
        deliveries.redeliver_job
    )
    app.get(f"{API}/webhooks/dead", openapi_extra=DEAD_QUERY)(deliveries.list_dead)
    app.post(f"{API}/webhooks/redeliver", status_code=202, openapi_extra=body_of(RedeliverIn))(
        deliveries.redeliver_dead
    )
    app.post(f"{API}/proxy", openapi_extra=body_of(ProxyIn))(
        Envelope(app, backend.keys, backend.bounds, API).answer
    )
    app.get("/healthz")(service.health)
    app.get("/readyz")(service.readiness)
    if with_metrics:
        app.get("/metrics")(service.metrics)
    app.get("/docs", include_in_schema=False)(DocsPage(app).show)
    app.add_middleware(HeadAsGet)
    app.add_middleware(FaultShield)
    app.add_exception_handler(EZThrottleError, _our_error)
    app.add_exception_handler(HTTPException, _http_error)
    return app


class HeadAsGet:
    """Answers HEAD as GET without its body (RFC 9110, 9.3.2), but for streams, which have no end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""

        async def bodiless(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            await send({**message, "body": b""} if is_body else message)

        if scope["type"] == "http" and scope["method"] == "HEAD" and not scope["path"].endswith("/stream"):
            await self._app(dict(scope) | {"method": "GET"}, receive, bodiless)
        else:
            await self._app(scope, receive, send)


class FastLane:
    """Answers submissions before the framework's layers, which cost more than the work itself. Several
    slashes in a path count as one.

    Everything else, and the description of submissions in /openapi.json, is the application's.
    """

    def __init__(self, app: FastAPI, backend: Backend) -> None:
        self._app = app
        self._submit = JobRoutes(backend).submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        scope = normalised(scope)
        if scope["type"] != "http" or scope["path"] != JOBS_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._submit(Request(scope, receive))
        except Exception as error:  # noqa: BLE001  # whatever it is, the client is told something it can read
            response = problem_of(as_ours(error))
        await response(scope, receive, send)


async def _our_error(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette hands it over
    if not isinstance(error, EZThrottleError):
        raise error
    return problem_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    detail = f"{request.method} {request.url.path}: {status.phrase}; /docs lists the calls"
    headers = dict(error.headers) if error.headers else None
    return problem(status, status.phrase.lower().replace(" ", "-"), status.phrase, detail, headers=headers)
