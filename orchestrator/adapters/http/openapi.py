"""What /openapi.json says of each call: FastAPI is told of it here, for handlers read requests by hand."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from orchestrator.adapters.http.backend import API
from orchestrator.adapters.http.queries import Handler, with_known_query

JsonSchema = Mapping[str, Any]
ANY_CALL = (400, 431, 500, 503)
"""What any call may be answered: no HTTP, a head that is too large, a fault of ours, no disk or too many
connections."""
ANY_OF_THE_API = (401, 422)
WITH_BODY = (413,)
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "string", "description": "One line, for people"},
        "retry_at": {"type": "integer", "description": "Unix ms, where the same request may pass later"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
"""RFC 9457."""
_BEARER = "bearer"
_SECURITY = {"type": "http", "scheme": "bearer", "description": "An API key: ck_live_…"}
_IN_PATH = re.compile(r"\{(\w+)(?::path)?\}")


def several(kind: type[StrEnum]) -> JsonSchema:
    """Describe a parameter that takes one of these, or several with commas."""
    one = "|".join(kind)
    return {"type": "string", "pattern": f"^({one})(,({one}))*$", "example": next(iter(kind)).value}


class Calls:
    """Adds calls to an application, each with what is said of it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._describe = app.openapi
        app.openapi = self._described  # type: ignore[method-assign]  # as FastAPI's own docs extend it

    def add(
        self,
        call: str,
        handler: Handler,
        *,
        query: Mapping[str, JsonSchema] | None = None,
        body: type[BaseModel] | None = None,
        answers: Mapping[int, str] | None = None,
        errors: Iterable[int] = (),
        denied: bool = False,
        media: str = "application/json",
    ) -> Handler:
        """Add a call, and give its handler as it is called.

        Args:
            call: Method and path, ``GET /healthz`` say. A query that is not described is refused under the
                API's own path, and ignored elsewhere.
            handler: What answers it.
            query: The JSON schema of each parameter.
            body: What is read.
            answers: What each successful status means, the usual one first.
            errors: Statuses of problems that not every call may have.
            denied: Whether a 429 is no problem document, but says ``denied``, as in an envelope.
            media: Of its successful answers.

        """
        method, path = call.split(" ")
        of_the_api = path.startswith(API)
        told = handler if not of_the_api else with_known_query(handler, frozenset(query or ()))
        successes = answers or {HTTPStatus.OK: "Done"}
        problems = {*ANY_CALL, *errors, *(ANY_OF_THE_API if of_the_api else ()), *(WITH_BODY if body else ())}
        self._app.add_api_route(
            path,
            told,
            methods=[method],
            status_code=next(iter(successes)),
            response_class=Response,
            openapi_extra=_extra(path, query or {}, body, keyed=of_the_api),
            responses=_successes(successes, media)
            | {status: _problem(status) for status in sorted(problems)}
            | (_successes({429: "Over a limit"}, media) if denied else {}),
        )
        return told

    def _described(self) -> dict[str, Any]:
        document = self._describe()
        document.setdefault("components", {})["securitySchemes"] = {_BEARER: _SECURITY}
        return document


def _extra(
    path: str, query: Mapping[str, JsonSchema], body: type[BaseModel] | None, *, keyed: bool
) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": dict(schema)}
        for name, schema in query.items()
    ]
    extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if body is not None:
        content = {"application/json": {"schema": _schema(body)}}
        extra["requestBody"] = {"required": True, "content": content}
    return extra | ({"security": [{_BEARER: []}]} if keyed else {})


def _successes(answers: Mapping[int, str], media: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object"} if media == "application/json" else {"type": "string"}
    content = {media: {"schema": schema}}
    return {
        status: {"description": told} | ({} if status == HTTPStatus.NO_CONTENT else {"content": content})
        for status, told in answers.items()
    }


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": PROBLEM}},
    }


def _schema(model: type[BaseModel]) -> Any:
    schema = model.model_json_schema(by_alias=False)
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    return {key: _inlined(value, definitions) for key, value in node.items()}
