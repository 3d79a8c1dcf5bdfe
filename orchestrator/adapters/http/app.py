"""The HTTP API. Handlers read strictly, ask the core, and write the contract's answers."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from orchestrator.adapters.http.bodies import read_body
from orchestrator.adapters.http.documents import acknowledgement_document, duplicate_document, job_document
from orchestrator.adapters.http.envelope import Envelope
from orchestrator.adapters.http.keys import KeyRing
from orchestrator.adapters.http.openapi import body_of
from orchestrator.adapters.http.problems import problem, problem_of
from orchestrator.adapters.http.schema import (
    ProxyIn,
    RotateIn,
    SecretsIn,
    SubmissionIn,
    read_model,
    read_submission,
)
from orchestrator.adapters.http.strict_json import parse_object
from orchestrator.adapters.telemetry import render_metrics
from orchestrator.core.intake import Intake, KnownAlready
from orchestrator.core.shard import Shard
from orchestrator.domain.errors import Conflict, EZThrottleError, NotFound, NotReady
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.limits import Bounds
from orchestrator.domain.signing import mask
from orchestrator.ports.store import StoredJob, WebhookSecrets

API = "/api/v1"
SUBMIT_PATH = f"{API}/jobs"
WAIT_MOST_S = 60.0
JOB_ID = re.compile(r"job_[0-9]{1,20}_[0-9]{1,20}\Z")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What the handlers need."""

    shard: Shard
    intake: Intake
    keys: KeyRing
    bounds: Bounds


def make_app(backend: Backend) -> FastAPI:
    """Build the application."""
    app = FastAPI(title="EZThrottle", version="1", description="An API dam: durable, paced, raced HTTP jobs.")
    jobs, secrets, service = JobRoutes(backend), SecretRoutes(backend), ServiceRoutes(backend)
    app.post(SUBMIT_PATH, status_code=202, openapi_extra=body_of(SubmissionIn))(jobs.submit)
    app.get(f"{API}/jobs/{{job_id}}")(jobs.show)
    app.delete(f"{API}/jobs/{{job_id}}")(jobs.cancel)
    app.post(f"{API}/webhook-secrets", openapi_extra=body_of(SecretsIn))(secrets.create)
    app.get(f"{API}/webhook-secrets")(secrets.show)
    app.delete(f"{API}/webhook-secrets")(secrets.delete)
    app.post(f"{API}/webhook-secrets/rotate", openapi_extra=body_of(RotateIn))(secrets.rotate)
    app.post(f"{API}/proxy", openapi_extra=body_of(ProxyIn))(
        Envelope(app, backend.keys, backend.bounds, API).answer
    )
    app.get("/healthz")(service.health)
    app.get("/readyz")(service.readiness)
    app.get("/metrics")(service.metrics)
    app.add_exception_handler(EZThrottleError, _our_error)
    app.add_exception_handler(HTTPException, _http_error)
    return app


class FastLane:
    """Answers submissions before the framework's layers, which cost more than the work itself.

    Everything else, and the description of submissions in /openapi.json, is the application's.
    """

    def __init__(self, app: FastAPI, backend: Backend) -> None:
        self._app = app
        self._submit = JobRoutes(backend).submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http" or scope["path"] != SUBMIT_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._submit(Request(scope, receive))
        except EZThrottleError as error:
            response = problem_of(error)
        await response(scope, receive, send)


class JobRoutes:
    """Submit a job, and look at one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def submit(self, request: Request) -> Response:
        """Take one job: 202 once it is on disk, 200 where its key is known."""
        customer = await self._backend.keys.customer(request)
        document = await read_document(request, self._backend.bounds)
        spec, ignored = read_submission(document, self._backend.shard.options.regions[0])
        taken = await self._backend.intake.submit(customer, spec)
        if isinstance(taken, KnownAlready):
            return _json(duplicate_document(taken, ignored), HTTPStatus.OK)
        return _json(acknowledgement_document(taken, ignored), HTTPStatus.ACCEPTED)

    async def show(self, request: Request) -> Response:
        """Show one job; ``?wait=SECONDS`` waits for its end, at most 60."""
        customer = await self._backend.keys.customer(request)
        job_id = request.path_params["job_id"]
        stored = await self._load(customer, job_id)
        wait_s = _wait_seconds(request.query_params.get("wait"))
        if wait_s and not stored.state.ended:
            await self._await_end(stored.job.id, wait_s)
            stored = await self._load(customer, job_id)
        return _json(job_document(stored, self._backend.shard.clock.unix_ms()), HTTPStatus.OK)

    async def cancel(self, request: Request) -> Response:
        """Cancel a job: its webhooks hear of it, its children do not begin; 409 where it has ended."""
        customer = await self._backend.keys.customer(request)
        stored = await self._load(customer, request.path_params["job_id"])
        if not await self._backend.shard.cancel(stored.job.id):
            raise Conflict(f"the job has ended already ({stored.state})")
        return _json({"job_id": stored.job.id, "status": "cancelled"}, HTTPStatus.OK)

    async def _await_end(self, job_id: JobId, wait_s: float) -> None:
        watching = asyncio.ensure_future(self._backend.shard.wait_for_end(job_id, wait_s))
        try:
            # The job may have ended between the look and the watch: once that has begun, look again.
            await asyncio.sleep(0)
            stored = await self._backend.shard.store.load(job_id)
            if stored is not None and not stored.state.ended:
                await watching
        finally:
            watching.cancel()

    async def _load(self, customer: CustomerId, job_id: str) -> StoredJob:
        stored = await self._backend.shard.store.load(JobId(job_id)) if JOB_ID.match(job_id) else None
        if stored is None or stored.job.customer != customer:
            raise NotFound("there is no such job, or it is not yours")
        return stored


class SecretRoutes:
    """Webhook secrets: create, show masked, rotate, delete."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(self, request: Request) -> Response:
        """Store the secrets, replacing earlier ones."""
        customer = await self._backend.keys.customer(request)
        given = read_model(SecretsIn, await read_document(request, self._backend.bounds))
        await self._put(
            customer, WebhookSecrets(primary=given.primary_secret, secondary=given.secondary_secret)
        )
        return _status("webhook secrets stored")

    async def rotate(self, request: Request) -> Response:
        """Make a new secret primary; the old one stays valid as secondary."""
        customer = await self._backend.keys.customer(request)
        given = read_model(RotateIn, await read_document(request, self._backend.bounds))
        old = await self._stored(customer)
        await self._put(customer, WebhookSecrets(primary=given.new_secret, secondary=old.primary))
        return _status("webhook secret rotated; the old one is valid as secondary")

    async def show(self, request: Request) -> Response:
        """Show the secrets masked."""
        customer = await self._backend.keys.customer(request)
        secrets = await self._stored(customer)
        document = {
            "customer_id": customer,
            "primary_secret": mask(secrets.primary),
            "secondary_secret": mask(secrets.secondary) if secrets.secondary else None,
            "has_secondary": secrets.secondary is not None,
        }
        return _json(document, HTTPStatus.OK)

    async def delete(self, request: Request) -> Response:
        """Delete the secrets; webhooks go out unsigned from then on."""
        customer = await self._backend.keys.customer(request)
        if not await self._backend.shard.store.drop_secrets(customer):
            raise NotFound(_NO_SECRETS)
        self._backend.shard.courier.forget_secrets(customer)
        return _status("webhook secrets deleted")

    async def _put(self, customer: CustomerId, secrets: WebhookSecrets) -> None:
        await self._backend.shard.store.put_secrets(customer, secrets)
        self._backend.shard.courier.forget_secrets(customer)

    async def _stored(self, customer: CustomerId) -> WebhookSecrets:
        secrets = await self._backend.shard.store.secrets(customer)
        if secrets is None:
            raise NotFound(_NO_SECRETS)
        return secrets


class ServiceRoutes:
    """How the service is; no key needed."""

    def __init__(self, backend: Backend) -> None:
        self._shard = backend.shard

    async def health(self, request: Request) -> Response:  # noqa: ARG002  # FastAPI hands it over
        """Say that the process lives."""
        return _json({"status": "ok"}, HTTPStatus.OK)

    async def readiness(self, request: Request) -> Response:  # noqa: ARG002  # FastAPI hands it over
        """Say whether work can be taken and done."""
        if not self._shard.ready:
            raise NotReady("no region is up yet, or the service is stopping", retry_after_s=1)
        return _json({"status": "ready", "regions": self._shard.peers.regions_up()}, HTTPStatus.OK)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002  # FastAPI hands it over
        """Show the counts in Prometheus' text format."""
        return Response(render_metrics(self._shard), media_type="text/plain; version=0.0.4; charset=utf-8")


async def read_document(request: Request, bounds: Bounds) -> dict[str, Any]:
    """Read the request's body as one strict JSON object."""
    return parse_object(await read_body(request, bounds.body_bytes), bounds.json_depth)


async def _our_error(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette hands it over
    if not isinstance(error, EZThrottleError):
        raise error
    return problem_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    detail = f"{request.method} {request.url.path}: {status.phrase}"
    headers = dict(error.headers) if error.headers else None
    return problem(status, status.phrase.lower().replace(" ", "-"), status.phrase, detail, headers=headers)


def _wait_seconds(text: str | None) -> float:
    try:
        wait_s = float(text or 0)
    except ValueError:
        return 0.0
    return min(wait_s, WAIT_MOST_S) if wait_s > 0 else 0.0


def _json(document: dict[str, Any], status: HTTPStatus) -> Response:
    content = json.dumps(document, separators=(",", ":"))
    return Response(content, status_code=status.value, media_type="application/json")


def _status(message: str) -> Response:
    return JSONResponse({"status": "ok", "message": message})


_NO_SECRETS = "no webhook secrets are stored: create them first"
