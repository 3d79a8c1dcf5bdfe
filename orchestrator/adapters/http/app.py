"""The HTTP API. Handlers read strictly, ask the core, and write the contract's answers."""

from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.adapters.http.access import ADMIN, API, JOBS_PATH, guarded
from orchestrator.adapters.http.admin_job_routes import AdminJobRoutes
from orchestrator.adapters.http.admin_region_routes import AdminRegionRoutes
from orchestrator.adapters.http.admin_routes import AdminRoutes
from orchestrator.adapters.http.backend import Backend, paged
from orchestrator.adapters.http.console.app import add_console
from orchestrator.adapters.http.delivery_routes import DeliveryRoutes
from orchestrator.adapters.http.docs_page import DocsPage
from orchestrator.adapters.http.domain_routes import DomainRoutes
from orchestrator.adapters.http.envelope import Envelope
from orchestrator.adapters.http.job_routes import WAIT_MOST_S, JobRoutes
from orchestrator.adapters.http.log_level_routes import LogLevelRoutes
from orchestrator.adapters.http.many_job_routes import ManyJobRoutes
from orchestrator.adapters.http.openapi import Calls, JsonSchema, several
from orchestrator.adapters.http.overview_routes import OverviewRoutes
from orchestrator.adapters.http.paging import PAGE_DEFAULT, PAGE_MOST
from orchestrator.adapters.http.paths import normalised
from orchestrator.adapters.http.problems import FaultShield, add_error_handlers, as_ours, problem_of
from orchestrator.adapters.http.queries import with_known_query
from orchestrator.adapters.http.schema import (
    SAFE_INT_MOST,
    BatchIn,
    KeyIn,
    LogLevelIn,
    ManyJobsIn,
    PaceIn,
    ProxyIn,
    RedeliverIn,
    RotateIn,
    SecretsIn,
    SubmissionIn,
)
from orchestrator.adapters.http.secret_routes import SecretRoutes
from orchestrator.adapters.http.service_routes import ServiceRoutes
from orchestrator.domain.fanout import JobDelivery
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.settling import FailureCode
from orchestrator.domain.submission_bounds import KEY_LENGTH_MOST
from orchestrator.runtime.version import VERSION

_NONE_OF_ITS_OWN: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own spans would be of requests, and its logs hold what was wrong in them."""
_SECONDS = {"type": "number", "minimum": 0, "maximum": WAIT_MOST_S}
_TIME = {"type": "integer", "minimum": 0, "maximum": SAFE_INT_MOST, "description": "Unix ms"}
_PAGE: Mapping[str, JsonSchema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE_DEFAULT},
    "cursor": {"type": "string", "description": "next_cursor of the page before"},
}
_HOST = {"type": "string", "maxLength": 512, "description": "A host, with its port unless that is 443"}
_CUSTOMER = {"type": "string", "maxLength": 64, "description": "A customer's id"}
_ENDPOINT: Mapping[str, JsonSchema] = {"endpoint": _HOST}
_FILTERS: Mapping[str, JsonSchema] = {
    "state": several(JobState),
    "domain": _HOST,
    "delivery": several(JobDelivery),
    "code": {"type": "string", "enum": [*FailureCode]},
    "since": _TIME,
    "until": _TIME,
    "idempotent_key": {"type": "string", "maxLength": KEY_LENGTH_MOST},
}
_JOB: Mapping[str, JsonSchema] = {"wait": _SECONDS, "include": {"type": "string", "enum": ["body"]}}
_ACCEPTED = {202: "Taken"}
_ENVELOPED = {200: "Let through", 429: "Over a limit"}
_SUBMITTED = {202: "Taken: it is on disk", 200: "A duplicate of a job that is known"}


def make_app(backend: Backend, *, with_metrics: bool = True) -> FastAPI:
    """Build the application; metrics that are bound apart are none of its business."""
    told = "An API dam: durable, paced, raced HTTP jobs."
    # No redirects: where one would lead is made of a header that anybody may write.
    app = FastAPI(
        title="EZThrottle",
        version=VERSION,
        description=told,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NONE_OF_ITS_OWN,
    )
    calls = Calls(app, backend.keys)
    jobs, deliveries = JobRoutes(backend), DeliveryRoutes(backend)
    _add_jobs(calls, backend, jobs)
    _add_overviews(calls, backend)
    _add_webhooks(calls, backend, deliveries)
    _add_administration(calls, backend)
    _add_regions_of_operators(calls, backend)
    _add_jobs_of_all(calls, AdminJobRoutes(backend, jobs, deliveries), backend)
    envelope = Envelope(app, backend.incoming, backend.bounds, API)
    calls.add(f"POST {API}/proxy", envelope.answer, body=ProxyIn, answers=_ENVELOPED)
    _add_service(calls, backend, with_metrics=with_metrics)
    app.get("/docs", include_in_schema=False)(DocsPage(app).show)
    add_console(app, backend)
    app.add_middleware(HeadAsGet)
    app.add_middleware(FaultShield)
    add_error_handlers(app)
    return app


def _add_jobs(calls: Calls, backend: Backend, jobs: JobRoutes) -> None:
    many = ManyJobRoutes(backend)
    one = f"{JOBS_PATH}/{{job_id}}"
    calls.add(f"POST {JOBS_PATH}", jobs.submit, body=SubmissionIn, answers=_SUBMITTED, errors=(429,))
    calls.add(f"POST {JOBS_PATH}:batch", jobs.submit_batch, body=BatchIn, errors=(429,))
    calls.add(f"POST {JOBS_PATH}:cancel", many.cancel, body=ManyJobsIn, errors=(429,))
    calls.add(f"POST {JOBS_PATH}:replay", many.replay, body=ManyJobsIn, errors=(429,))
    calls.add(f"GET {JOBS_PATH}", paged(backend, jobs.list_jobs), query={**_FILTERS, **_PAGE})
    calls.add(f"GET {one}", jobs.show, query=_JOB, errors=(404, 409))
    calls.add(
        f"GET {one}/stream",
        jobs.stream,
        answers={200: "Server-Sent Events", 204: "All was told"},
        errors=(404, 409, 429),
        media="text/event-stream",
    )
    calls.add(f"POST {one}/replay", jobs.replay, answers=_SUBMITTED, errors=(404, 409, 429))
    calls.add(f"DELETE {one}", jobs.cancel, errors=(404, 409))


def _add_overviews(calls: Calls, backend: Backend) -> None:
    overview, domains = OverviewRoutes(backend), DomainRoutes(backend)
    calls.add(f"GET {API}/usage", overview.usage)
    calls.add(f"GET {ADMIN}/usage", overview.usage_of_all, query={"limit": _PAGE["limit"]})
    calls.add(f"GET {API}/regions", overview.regions)
    for prefix in (API, ADMIN):
        calls.add(f"GET {prefix}/domains", paged(backend, overview.domains), query=_PAGE)
        one = f"{prefix}/domains/{{domain:path}}"
        for act in (domains.reset, domains.pause, domains.resume):
            calls.add(f"POST {one}:{act.__name__}", act, errors=(404,))
        calls.add(f"PUT {one}/pace", domains.set_pace, body=PaceIn, errors=(404,))


def _add_webhooks(calls: Calls, backend: Backend, deliveries: DeliveryRoutes) -> None:
    secrets = SecretRoutes(backend)
    calls.add(f"POST {API}/webhook-secrets", secrets.create, body=SecretsIn)
    calls.add(f"GET {API}/webhook-secrets", secrets.show, errors=(404,))
    calls.add(f"DELETE {API}/webhook-secrets", secrets.delete, errors=(404,))
    calls.add(f"POST {API}/webhook-secrets/rotate", secrets.rotate, body=RotateIn, errors=(404,))
    job_again = f"POST {JOBS_PATH}/{{job_id}}/redeliver"
    calls.add(job_again, deliveries.redeliver_job, answers=_ACCEPTED, errors=(404, 409))
    dead = {**_ENDPOINT, "since": _TIME, "until": _TIME, **_PAGE}
    calls.add(f"GET {API}/webhooks/dead", paged(backend, deliveries.list_dead), query=dead)
    calls.add(
        f"GET {API}/webhooks/pending", paged(backend, deliveries.list_pending), query={**_ENDPOINT, **_PAGE}
    )
    dead_again = f"POST {API}/webhooks/redeliver"
    calls.add(dead_again, deliveries.redeliver_dead, body=RedeliverIn, answers=_ACCEPTED, errors=(404,))


def _add_administration(calls: Calls, backend: Backend) -> None:
    admin, key = AdminRoutes(backend), f"{ADMIN}/keys/{{key_id}}"
    calls.add(f"GET {ADMIN}/customers", paged(backend, admin.customers), query=_PAGE)
    calls.add(f"GET {ADMIN}/customers/{{customer_id}}", admin.customer, errors=(404,))
    calls.add(f"GET {ADMIN}/keys", paged(backend, admin.keys), query={"customer": _CUSTOMER, **_PAGE})
    calls.add(f"POST {ADMIN}/keys", admin.create_key, body=KeyIn, answers={201: "Made: shown this once"})
    calls.add(f"DELETE {key}", admin.revoke_key, errors=(404,))
    levels = LogLevelRoutes(backend)
    calls.add(f"GET {ADMIN}/log-level", levels.show)
    calls.add(f"PUT {ADMIN}/log-level", levels.set_level, body=LogLevelIn)
    times = {"since": _TIME, "until": _TIME}
    calls.add(f"GET {ADMIN}/audit", paged(backend, admin.audit), query={**times, **_PAGE})


def _add_regions_of_operators(calls: Calls, backend: Backend) -> None:
    regions = AdminRegionRoutes(backend)
    calls.add(f"GET {ADMIN}/regions", regions.show)
    for act in (regions.drain, regions.undrain):
        calls.add(f"POST {ADMIN}/regions/{{region}}:{act.__name__}", act, errors=(404,))


def _add_jobs_of_all(calls: Calls, jobs: AdminJobRoutes, backend: Backend) -> None:
    one, query = f"{ADMIN}/jobs/{{job_id}}", {"customer": _CUSTOMER, **_FILTERS, **_PAGE}
    calls.add(f"GET {ADMIN}/jobs", paged(backend, jobs.list_jobs), query=query)
    calls.add(f"GET {one}", jobs.show, query=_JOB, errors=(404, 409))
    calls.add(f"DELETE {one}", jobs.cancel, errors=(404, 409))
    calls.add(f"POST {one}/replay", jobs.replay, answers=_SUBMITTED, errors=(404, 409, 429))
    calls.add(f"POST {one}/redeliver", jobs.redeliver, answers=_ACCEPTED, errors=(404, 409))


def _add_service(calls: Calls, backend: Backend, *, with_metrics: bool) -> None:
    service = ServiceRoutes(backend)
    calls.add_public("GET /healthz", service.health)
    calls.add_public("GET /readyz", service.readiness)
    if with_metrics:
        calls.add_public("GET /metrics", service.metrics, media="text/plain; version=0.0.4; charset=utf-8")


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
        submit = with_known_query(JobRoutes(backend).submit, frozenset())
        self._submit = guarded(backend.keys, f"POST {JOBS_PATH}", submit)

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
