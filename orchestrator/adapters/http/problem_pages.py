"""The pages at /problems, which errors name as their type: what each kind is, and what to do about it."""

from html import escape

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.plain_page import plain_page
from orchestrator.domain.errors import EZThrottleError, NotFound, problem_types

_KINDS = {kind.slug: kind for kind in problem_types()}


async def show_problems(request: Request) -> Response:  # noqa: ARG001  # FastAPI hands it over
    """Show every kind."""
    return plain_page(
        "Problems", "".join(f"<h2>{_heading(kind)}</h2>{_told(kind)}" for kind in _KINDS.values())
    )


async def show_problem(request: Request) -> Response:
    """Show one kind, by the last part of its address.

    Raises:
        NotFound: There is no such kind.
    """
    kind = _KINDS.get(request.path_params["slug"])
    if kind is None:
        raise NotFound("there is no such kind of problem: /problems lists them")
    return plain_page(kind.title, f"<p>{_heading(kind)}</p>{_told(kind)}")


def _heading(kind: type[EZThrottleError]) -> str:
    return f"<code>{kind.status.value}</code> <code>{escape(kind.slug)}</code>"


def _told(kind: type[EZThrottleError]) -> str:
    return f"<p>{escape(kind.title)}.</p><p>{escape(kind.remedy)}</p>"
