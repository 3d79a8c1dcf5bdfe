"""The console: pages for people at /console, beside the API and over the same gateway."""

from collections.abc import Iterator
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.adapters.http.access import API, JOBS_PATH
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.door import Door
from orchestrator.adapters.http.console.job_pages import ACTS, JobPages
from orchestrator.adapters.http.console.jobs_pages import JobsPages
from orchestrator.adapters.http.console.overview_page import OverviewPage
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT, SIGN_IN
from orchestrator.adapters.http.console.static_files import StaticFiles
from orchestrator.adapters.http.console.visit import Handler
from orchestrator.domain.errors import NotFound

LISTING = f"GET {JOBS_PATH}"
SHOWING = f"GET {JOBS_PATH}/{{job_id}}"


class WithConsole:
    """Round the API: what lies under /console is the console's, and browsers at the root are led there."""

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app = app
        self._console = make_console(backend)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path == ROOT or path.startswith(f"{ROOT}/"):
            await self._console(scope, receive, send)
        elif path == "/" and "text/html" in Request(scope).headers.get("accept", ""):
            await RedirectResponse(ROOT, HTTPStatus.SEE_OTHER)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def make_console(backend: Backend) -> ASGIApp:
    """Build the console's application."""
    files = StaticFiles()
    pages = Pages(files)
    door = Door(backend, pages)
    overview, jobs = OverviewPage(backend, pages), JobsPages(backend, pages)
    routes = [
        Route(SIGN_IN, door.show_sign_in),
        Route(SIGN_IN, door.sign_in, methods=["POST"]),
        Route(f"{ROOT}/static/{{name:path}}", files.show),
        _act("/sign-out", door, LISTING, door.sign_out),
        _page("", door, f"GET {API}/usage", overview.show),
        _page("/jobs", door, LISTING, jobs.show),
        _page("/jobs/count", door, LISTING, jobs.count),
        *_of_a_job(door, JobPages(backend, pages, door)),
    ]

    async def not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette hands it over
        return pages.problem(NotFound("there is no such page"), None)

    return Starlette(routes=routes, exception_handlers={HTTPException: not_found})


def _of_a_job(door: Door, job: JobPages) -> Iterator[Route]:
    one = "/jobs/{job_id}"
    yield _page(one, door, SHOWING, job.show)
    yield _page(f"{one}/stream", door, f"{SHOWING}/stream", job.stream)
    for act in (job.cancel, job.replay, job.redeliver):
        yield _act(f"{one}/{act.__name__}", door, ACTS[act.__name__], act)


def _page(path: str, door: Door, call: str, show: Handler) -> Route:
    return Route(f"{ROOT}{path}", door.page(call, show))


def _act(path: str, door: Door, call: str, do: Handler) -> Route:
    return Route(f"{ROOT}{path}", door.act(call, do), methods=["POST"])
