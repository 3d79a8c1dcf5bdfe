"""The HTTP API. Handlers read strictly, ask the core, and write the contract's answers."""

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from orchestrator.adapters.http.access import API
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.calls.administration import add_administration
from orchestrator.adapters.http.calls.jobs import add_jobs, add_jobs_of_all
from orchestrator.adapters.http.calls.overviews import add_overviews
from orchestrator.adapters.http.calls.service import add_service
from orchestrator.adapters.http.calls.webhooks import add_webhooks
from orchestrator.adapters.http.console.app import add_console
from orchestrator.adapters.http.docs_page import add_pages
from orchestrator.adapters.http.envelope import Envelope
from orchestrator.adapters.http.head_as_get import HeadAsGet
from orchestrator.adapters.http.openapi import Calls
from orchestrator.adapters.http.problems import FaultShield, add_error_handlers
from orchestrator.adapters.http.schema import ProxyIn
from orchestrator.runtime.version import VERSION

_NONE_OF_ITS_OWN: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own spans would be of requests, and its logs hold what was wrong in them."""
_ENVELOPED = {200: "Let through", 429: "Over a limit"}


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
    add_jobs(calls, backend)
    add_overviews(calls, backend)
    add_webhooks(calls, backend)
    add_administration(calls, backend)
    add_jobs_of_all(calls, backend)
    envelope = Envelope(app, backend.incoming, backend.bounds, API)
    calls.add(f"POST {API}/proxy", envelope.answer, body=ProxyIn, answers=_ENVELOPED)
    add_service(calls, backend, with_metrics=with_metrics)
    add_pages(app)
    add_console(app, backend)
    app.add_middleware(HeadAsGet)
    app.add_middleware(FaultShield)
    add_error_handlers(app)
    return app
