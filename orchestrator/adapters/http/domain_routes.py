"""What an operator does to a target domain, over HTTP."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.domains import domain_document
from orchestrator.adapters.http.paging import read_named_domain, wrong
from orchestrator.adapters.http.schema import PaceIn, read_model, unknown_fields
from orchestrator.core.views import DomainView
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.overruling import SetPace

_SCHEME = re.compile(r"^(https?:)/+")
Act = Callable[[Caller, TargetDomain], Awaitable[DomainView]]


class DomainRoutes:
    """Acts of an operator; each answers with the domain as it stands then, and needs the role admin."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._targets = backend.gateway.targets

    async def reset(self, request: Request, caller: Caller) -> Response:
        """Forget what was learned of a domain: paces, waits, budgets and breakers. What you set stays."""
        return await self._do(request, caller, self._targets.reset)

    async def pause(self, request: Request, caller: Caller) -> Response:
        """Start nothing there until ``:resume``. Jobs wait, and keep their deadlines."""
        return await self._do(request, caller, self._targets.pause)

    async def resume(self, request: Request, caller: Caller) -> Response:
        """Let a domain go that was paused."""
        return await self._do(request, caller, self._targets.resume)

    async def set_pace(self, request: Request, caller: Caller) -> Response:
        """Set a pace in place of what the target stated and what was learned; an empty document lifts it.
        Waits that the target names from then on are kept.
        """
        domain = _domain_of(request)
        given = read_pace(
            await read_document(self._backend, caller.customer, request),
            self._backend.gateway.clock.unix_ms(),
        )
        return _shown(await self._targets.set_pace(caller, domain, given), caller)

    async def _do(self, request: Request, caller: Caller, act: Act) -> Response:
        return _shown(await act(caller, _domain_of(request)), caller)


def _shown(view: DomainView, caller: Caller) -> Response:
    return json_response(domain_document(view, caller), HTTPStatus.OK)


def _domain_of(request: Request) -> TargetDomain:
    # Doubled slashes of a path are read as one, those of a URL in it too.
    text = _SCHEME.sub(r"\1//", request.path_params["domain"])
    domain = read_named_domain("domain", text)
    if domain is None:
        raise wrong("domain", "must be a host, with its port if that is not 443")
    return domain


def read_pace(document: dict[str, object], now_ms: int) -> SetPace:
    """Read a pace that is to be set at ``now_ms`` (Unix ms); an empty document sets none.

    Raises:
        InvalidFields: It is none; what is wrong is named.
    """
    if unknown := unknown_fields(PaceIn, document):
        # A misspelt field would lift the pace that it was to set.
        raise InvalidFields(
            [FieldError(name, f"is no field; there are {', '.join(PaceIn.model_fields)}") for name in unknown]
        )
    given = read_model(PaceIn, document)
    if given.until_ms is not None and given.until_ms <= now_ms:
        raise wrong("until_ms", "has passed: it is Unix time in milliseconds, and must lie ahead")
    pace = SetPace(rps=given.rps, max_concurrent=given.max_concurrent, until_ms=given.until_ms)
    if pace.empty and pace.until_ms is not None:
        raise wrong("until_ms", "needs a pace that ends then: give rps or max_concurrent")
    return pace
