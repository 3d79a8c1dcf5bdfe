"""The page at /docs: the description in /openapi.json as plain HTML, which loads nothing from anywhere."""

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.components import resolved
from orchestrator.adapters.http.openapi import ROLES_FIELD
from orchestrator.adapters.http.plain_page import plain_page
from orchestrator.adapters.http.problem_pages import show_problem, show_problems
from orchestrator.adapters.http.problems import PROBLEMS


def add_pages(app: FastAPI) -> None:
    """Add the pages that tell of the API: none of its calls, and none of them needs a key."""
    app.get("/docs", include_in_schema=False)(DocsPage(app).show)
    app.get(PROBLEMS, include_in_schema=False)(show_problems)
    app.get(f"{PROBLEMS}/{{slug}}", include_in_schema=False)(show_problem)


class DocsPage:
    """Draws the page once, when it is first asked for."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._page: str | None = None

    async def show(self, request: Request) -> Response:  # noqa: ARG002  # FastAPI hands it over
        """Show every call with its query and its fields."""
        if self._page is None:
            self._page = "".join(_page(self._app.openapi()))
        return plain_page(self._app.title, self._page)


def _page(described: dict[str, Any]) -> Iterator[str]:
    yield f"<p>{escape(described['info'].get('description', ''))}</p>"
    yield "<p>Calls under <code>/api/v1</code> need <code>Authorization: Bearer ck_live_…</code>. "
    yield 'For machines: <a href="openapi.json">openapi.json</a>.</p>'
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield from _operation(path, method, operation, described)


def _operation(path: str, method: str, operation: dict[str, Any], described: dict[str, Any]) -> Iterator[str]:
    yield f'<h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>'
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    if roles := operation.get(ROLES_FIELD):
        yield f"<p>For keys of the role {escape(', '.join(roles))}.</p>"
    parameters = {p["name"]: p["schema"] for p in operation.get("parameters", ())}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = resolved(content.get("schema", {}), described)
    yield from _fields("query", parameters, (), described)
    yield from _fields("body", body.get("properties", {}), body.get("required", ()), described)


def _fields(told: str, fields: dict[str, Any], required: Any, described: dict[str, Any]) -> Iterator[str]:
    if not fields:
        return
    yield f"<table><tr><td><b>{told}</b></td></tr>"
    for name, schema in fields.items():
        need = "required" if name in required else _default(schema)
        kind = escape(" or ".join(_kinds(schema, described)))
        says = escape(schema.get("description", ""))
        yield f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{escape(need)}</td>"
        yield f"<td>{says}</td></tr>"
    yield "</table>"


def _kinds(schema: dict[str, Any], described: dict[str, Any]) -> list[str]:
    schema = resolved(schema, described)
    if "anyOf" in schema:
        return [kind for option in schema["anyOf"] for kind in _kinds(option, described) if kind != "null"]
    if "enum" in schema:
        return [str(value) for value in schema["enum"]]
    return [str(schema.get("type", "any"))]


def _default(schema: dict[str, Any]) -> str:
    return f"default {schema['default']!r}" if schema.get("default") not in (None, "", [], {}) else ""
