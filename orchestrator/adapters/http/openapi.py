"""What /openapi.json says of each call: FastAPI is told of it here, for handlers read requests by hand."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from orchestrator.adapters.http.access import ROLES, Handler, KeyedHandler, guarded
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.queries import with_known_query

JsonSchema = Mapping[str, Any]
ANY_CALL = (400, 431, 500, 503)
"""What any call may be answered: no HTTP, a head that is too large, a fault of ours, no disk or too many
connections."""
WITH_KEY = (401, 403, 422)
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
ROLES_FIELD = "x-roles"
"""Of an operation: whose keys may ask for it."""
_DONE: Mapping[int, str] = {HTTPStatus.OK: "Done"}
_SECURITY = {"type": "http", "scheme": "bearer", "description": "An API key: ck_live_…"}
_IN_PATH = re.compile(r"\{(\w+)(?::path)?\}")


def several(kind: type[StrEnum]) -> JsonSchema:
    """Describe a parameter that takes one of these, or several with commas."""
    one = "|".join(kind)
    return {"type": "string", "pattern": f"^({one})(,({one}))*$", "example": next(iter(kind)).value}


class Calls:
    """Adds calls to an application, each with what is said of it, for the roles that ``access`` names."""

    def __init__(self, app: FastAPI, keys: ApiKeyAuthenticator) -> None:
        self._app = app
        self._keys = keys
        self._describe = app.openapi
        app.openapi = self._described  # type: ignore[method-assign]  # as FastAPI's own docs extend it

    def add(
        self,
        call: str,
        handler: KeyedHandler,
        *,
        query: Mapping[str, JsonSchema] | None = None,
        body: type[BaseModel] | None = None,
        answers: Mapping[int, str] | None = None,
        errors: Iterable[int] = (),
        denied: bool = False,
        media: str = "application/json",
    ) -> None:
        """Add a call that needs a key. A query that is not described is refused.

        Args:
            call: Method and path, as in ``access.ROLES``.
            handler: What answers it.
            query: The JSON schema of each parameter.
            body: What is read.
            answers: What each successful status means, the usual one first.
            errors: Statuses of problems that not every call may have.
            denied: Whether a 429 is no problem document, but says ``denied``, as in an envelope.
            media: Of its successful answers.

        """
        told = guarded(self._keys, call, with_known_query(handler, frozenset(query or ())))
        problems = {*ANY_CALL, *WITH_KEY, *errors, *(WITH_BODY if body else ())}
        responses = _responses(answers or _DONE, problems, media)
        if denied:
            responses |= _successes({429: "Over a limit"}, media)
        self._add(call, told, responses, _extra(call, query or {}, body))

    def add_public(self, call: str, handler: Handler, *, media: str = "application/json") -> None:
        """Add a call that needs no key, and ignores whatever query it comes with."""
        self._add(call, handler, _responses(_DONE, ANY_CALL, media), _extra(call, {}, None))

    def _add(
        self, call: str, told: Handler, responses: dict[int | str, dict[str, Any]], extra: dict[str, Any]
    ) -> None:
        method, path = call.split(" ")
        self._app.add_api_route(
            path,
            told,
            methods=[method],
            status_code=int(next(iter(responses))),
            response_class=Response,
            openapi_extra=extra,
            responses=responses,
        )

    def _described(self) -> dict[str, Any]:
        document = self._describe()
        document.setdefault("components", {})["securitySchemes"] = {_BEARER: _SECURITY}
        return document


def _extra(call: str, query: Mapping[str, JsonSchema], body: type[BaseModel] | None) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(call)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": dict(schema)}
        for name, schema in query.items()
    ]
    extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if body is not None:
        content = {"application/json": {"schema": _schema(body)}}
        extra["requestBody"] = {"required": True, "content": content}
    if roles := ROLES[call]:
        extra |= {"security": [{_BEARER: []}], ROLES_FIELD: sorted(roles)}
    return extra


def _responses(
    answers: Mapping[int, str], problems: Iterable[int], media: str
) -> dict[int | str, dict[str, Any]]:
    return _successes(answers, media) | {status: _problem(status) for status in sorted(problems)}


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


@cache
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
