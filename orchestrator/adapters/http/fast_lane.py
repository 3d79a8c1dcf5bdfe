"""The short way in for submissions, and the application behind it."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from orchestrator.adapters.http.access import JOBS_PATH, guarded
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.paths import normalised
from orchestrator.adapters.http.problems import as_ours, problem_of
from orchestrator.adapters.http.queries import with_known_query
from orchestrator.adapters.http.submission_routes import SubmissionRoutes


class FastLane:
    """Answers submissions before the framework's layers, which cost more than the work itself. Several
    slashes in a path count as one.

    Everything else, and the description of submissions in /openapi.json, is the application's.
    """

    def __init__(self, app: FastAPI, backend: Backend) -> None:
        self._app = app
        submit = with_known_query(SubmissionRoutes(backend).submit, frozenset())
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
