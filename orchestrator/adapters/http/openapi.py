"""What /openapi.json says of each call: FastAPI is told of it here, for handlers read requests by hand."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from orchestrator.adapters.http.access import API, ROLES, Handler, KeyedHandler, guarded
from orchestrator.adapters.http.answers.common import Problem
from orchestrator.adapters.http.answers.table import DESCRIBED
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.components import Components, reference
from orchestrator.adapters.http.queries import with_known_query

JsonSchema = Mapping[str, Any]
ANY_CALL = (400, 431, 500, 503)
"""What any call may be answered: no HTTP, a head that is too large, a fault of ours, no disk or too many
connections."""
WITH_KEY = (401, 403, 422)
WITH_BODY = (413,)
_BEARER = "bearer"
ROLES_FIELD = "x-roles"
"""Of an operation: whose keys may ask for it."""
_DONE: Mapping[int, str] = {HTTPStatus.OK: "Done"}
_SECURITY = {"type": "http", "scheme": "bearer", "description": "An API key: ck_live_…"}
_IN_PATH = re.compile(r"\{(\w+)(?::path)?\}")
_PATH_FIELDS: Mapping[str, str] = {
    "job_id": "A job's id, job_…",
    "domain": "A host, with its port unless that is 443",
    "customer_id": "A customer's id",
    "key_id": "A key's id, as lists show it",
    "region": "A region's name",
}
_WHOLE_SECONDS = {"description": "Whole seconds", "schema": {"type": "integer", "minimum": 0}}
_HEADERS: Mapping[int, JsonSchema] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": _WHOLE_SECONDS},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": _WHOLE_SECONDS},
}


def several(kind: type[StrEnum]) -> JsonSchema:
    """Describe a parameter that takes one of these, or several with commas."""
    one = "|".join(kind)
    return {"type": "string", "pattern": f"^({one})(,({one}))*$", "example": next(iter(kind)).value}


class Calls:
    """Adds calls to an application, each with what is said of it, for the roles that ``access`` names."""

    def __init__(self, app: FastAPI, keys: ApiKeyAuthenticator) -> None:
        self._app = app
        self._keys = keys
        self._components = Components()
        self._components.add(Problem)
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
            media: Of its successful answers.

        """
        told = guarded(self._keys, call, with_known_query(handler, frozenset(query or ())))
        problems = {*ANY_CALL, *WITH_KEY, *errors, *(WITH_BODY if body else ())}
        self._add(call, told, answers or _DONE, problems, media, self._extra(call, query or {}, body))

    def add_public(self, call: str, handler: Handler, *, media: str = "application/json") -> None:
        """Add a call that needs no key, and ignores whatever query it comes with."""
        self._add(call, handler, _DONE, ANY_CALL, media, self._extra(call, {}, None))

    def _add(
        self,
        call: str,
        told: Handler,
        answers: Mapping[int, str],
        problems: Iterable[int],
        media: str,
        extra: dict[str, Any],
    ) -> None:
        (method, path), described = call.split(" "), DESCRIBED[call]
        for model in described.answers.values():
            self._components.add(model)
        responses = _successes(answers, described.answers, media)
        responses |= _problems(status for status in problems if status not in answers)
        self._app.add_api_route(
            path,
            told,
            methods=[method],
            status_code=int(next(iter(responses))),
            response_class=Response,
            openapi_extra=extra,
            responses=responses,
            operation_id=described.name,
            tags=[_group_of(path)],
        )

    def _described(self) -> dict[str, Any]:
        document = self._describe()
        components = document.setdefault("components", {})
        components["securitySchemes"] = {_BEARER: _SECURITY}
        components["schemas"] = self._components.schemas
        return document

    def _extra(
        self, call: str, query: Mapping[str, JsonSchema], body: type[BaseModel] | None
    ) -> dict[str, Any]:
        parameters = list(_parameters(call, query))
        extra: dict[str, Any] = {"parameters": parameters} if parameters else {}
        if body is not None:
            self._components.add(body)
            content = {"application/json": {"schema": reference(body)}}
            extra["requestBody"] = {"required": True, "content": content}
        if roles := ROLES[call]:
            extra |= {"security": [{_BEARER: []}], ROLES_FIELD: sorted(roles)}
        return extra


def _group_of(path: str) -> str:
    """Name what a call is about: clients are made with a part for each."""
    found = re.match(rf"{API}/([a-z-]+)", path)
    return found[1] if found else "service"


def _parameters(call: str, query: Mapping[str, JsonSchema]) -> Iterator[dict[str, Any]]:
    for name in _IN_PATH.findall(call):
        told = {"description": _PATH_FIELDS[name], "schema": {"type": "string"}}
        yield {"name": name, "in": "path", "required": True, **told}
    for name, schema in query.items():
        yield {"name": name, "in": "query", "required": False, "schema": dict(schema)}


def _problems(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": reference(Problem)}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
        for status in sorted(statuses)
    }


def _successes(
    answers: Mapping[int, str], models: Mapping[int, type[BaseModel]], media: str
) -> dict[int | str, dict[str, Any]]:
    described: dict[int | str, dict[str, Any]] = {}
    for status, told in answers.items():
        schema = reference(models[status]) if status in models else {"type": "string"}
        content = {} if status == HTTPStatus.NO_CONTENT else {"content": {media: {"schema": schema}}}
        described[status] = {"description": told} | content
    return described
