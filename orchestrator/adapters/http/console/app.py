"""The console: pages for people at /console, beside the API and over the same gateway."""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.door import Door
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT, SIGN_IN
from orchestrator.adapters.http.console.routes import Routes
from orchestrator.adapters.http.console.static_files import StaticFiles
from orchestrator.domain.errors import NotFound


class WithConsole:
    """Round the API: what lies under /console is the console's, and browsers at the root are led there."""

    def __init__(self, app: ASGIApp, console: ASGIApp) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path == ROOT or path.startswith(f"{ROOT}/"):
            await self._console(scope, receive, send)
        elif path == "/" and "text/html" in Request(scope).headers.get("accept", ""):
            await RedirectResponse(ROOT, HTTPStatus.SEE_OTHER)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def add_console(app: Starlette, backend: Backend) -> None:
    """Put the console before an application. It is made now: a first request is to wait for no template."""
    app.add_middleware(WithConsole, console=make_console(backend))


def make_console(backend: Backend) -> ASGIApp:
    """Build the console's application."""
    files = StaticFiles()
    pages = Pages(files)
    door = Door(backend, pages)
    routes = [
        Route(SIGN_IN, door.show_sign_in),
        Route(SIGN_IN, door.sign_in, methods=["POST"]),
        Route(f"{ROOT}/static/{{name:path}}", files.show),
        *Routes(backend, pages, door).all(),
    ]

    async def not_found(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette hands it over
        return pages.problem(NotFound("there is no such page"), None)

    return Starlette(routes=routes, exception_handlers={HTTPException: not_found})
