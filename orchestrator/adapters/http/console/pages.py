"""Makes the console's pages of its templates; nothing in them may load, or send, anything elsewhere."""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.responses import HTMLResponse

from orchestrator.adapters.http.console import wording
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.static_files import StaticFiles
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.domain.errors import EZThrottleError, TryLater
from orchestrator.runtime.version import VERSION

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Pages:
    """Draws pages and parts of pages."""

    def __init__(self, files: StaticFiles) -> None:
        self._static = files.url
        # Read and compiled now: later it would hold up everybody.
        self._templates = _compiled()

    def draw(self, template: str, **given: Any) -> str:
        """Draw a page, or a part of one."""
        return self._templates[template].render(static=self._static, **given)

    def page(
        self, template: str, *, visit: Visit | None, status: HTTPStatus = HTTPStatus.OK, **given: Any
    ) -> HTMLResponse:
        """Answer with a page."""
        said = wording.SAID.get(visit.query.get("said", "")) if visit else None
        html = self.draw(template, visit=visit, said=said, **given)
        return HTMLResponse(html, status_code=status.value, headers=dict(HEADERS))

    def problem(self, error: EZThrottleError, visit: Visit | None) -> HTMLResponse:
        """Answer with a page that says what went wrong, and what to do."""
        response = self.page("problem.html", visit=visit, status=error.status, error=error)
        if isinstance(error, TryLater):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response


@cache
def _compiled() -> Mapping[str, Template]:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": wording.counted,
        "moment": wording.moment,
        "rate": wording.rate,
        "share": wording.share,
        "size": wording.size,
        "span": wording.span,
    }
    environment.globals |= {"root": ROOT, "version": VERSION, "query": query_with}
    return {name: environment.get_template(name) for name in environment.list_templates()}


def query_with(query: Mapping[str, str], **changes: str | None) -> str:
    """Write a page's query with some of it changed, or (None) left out."""
    changed = {**query, **changes}
    return urlencode({name: value for name, value in changed.items() if value})
