"""Queries are read strictly: a filter that is misspelt would mean all."""

import functools

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.access import KeyedHandler
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields

NAME_SHOWN_MOST = 100


def with_known_query(handler: KeyedHandler, known: frozenset[str]) -> KeyedHandler:
    """Refuse a call whose query holds what is not ``known``, or holds something twice; 422 names it."""

    @functools.wraps(handler)
    async def strict(request: Request, caller: Caller) -> Response:
        if request.scope["query_string"]:
            _check(request, known)
        return await handler(request, caller)

    return strict


def _check(request: Request, known: frozenset[str]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    there_are = f"there are {', '.join(sorted(known))}" if known else "this call has none"
    errors = [FieldError(name[:NAME_SHOWN_MOST], f"is no parameter: {there_are}") for name in unknown]
    errors += [FieldError(name, "is given twice") for name in sorted(known) if names.count(name) > 1]
    if errors:
        raise InvalidFields(errors)
