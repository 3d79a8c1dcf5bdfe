"""What a customer used, which regions are up, and how each target stands."""

import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.documents.domains import domains_document
from orchestrator.adapters.http.documents.overviews import (
    most_used_document,
    regions_document,
    usage_document,
)
from orchestrator.adapters.http.paging import decode_cursor, read_limit
from orchestrator.core.gateway.customers import DAYS_SHOWN
from orchestrator.domain.access.roles import Caller

_AFTER = re.compile(r"(.{1,300})\Z")


class OverviewRoutes:
    """Looks at the whole, as far as it concerns the customer."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._gateway = backend.gateway

    async def usage(self, request: Request, caller: Caller) -> Response:
        """Show a customer's open jobs, their limit, and what was used on each of the last 30 days (UTC)."""
        usage = await self._gateway.customers.usage(caller.customer)
        return json_response(usage_document(usage, self._backend.bounds.open_jobs), HTTPStatus.OK)

    async def usage_of_all(self, request: Request, caller: Caller) -> Response:
        """Show what each customer used on the last 30 days (UTC), who had the most jobs accepted first."""
        most = read_limit(request.query_params.get("limit", ""))
        document = most_used_document(await self._gateway.customers.most_used(most), DAYS_SHOWN)
        return json_response(document, HTTPStatus.OK)

    async def regions(self, request: Request, caller: Caller) -> Response:
        """Show every region: its health, what it has under way, and how long its attempts take."""
        document = regions_document(self._gateway.regions(), self._gateway.default_region)
        return json_response(document, HTTPStatus.OK)

    async def domains(self, request: Request, caller: Caller) -> Response:
        """Show the targets that the customer has called, all customers' to an admin, by name: the pace that
        holds and why, queue, signals, and the routes to them; ``next_cursor`` is null on the last page.
        """
        most = read_limit(request.query_params.get("limit", ""))
        cursor = request.query_params.get("cursor", "")
        after = decode_cursor(cursor, _AFTER)[1] if cursor else ""
        page = await self._gateway.targets.listed(caller, most=most, after=after)
        return json_response(domains_document(page, caller), HTTPStatus.OK)
