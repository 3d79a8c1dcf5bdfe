"""Customers over HTTP, for operators: who they are, what they use, and their plans."""

import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.administration import customers_document, plan_document
from orchestrator.adapters.http.documents.overviews import usage_document
from orchestrator.adapters.http.paging import encode_cursor, read_customer, read_limit, read_place
from orchestrator.adapters.http.schema import PlanIn, read_model
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import NotFound

_NAME = re.compile(r"(.{1,64})\Z")


class AdminCustomerRoutes:
    """Looks at customers, and sets their plans."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._administration = backend.gateway.administration

    async def customers(self, request: Request, caller: Caller) -> Response:
        """Show everybody who has, or had, a key, by name; ``next_cursor`` is null on the last page."""
        query = request.query_params
        most, after = read_limit(query.get("limit", "")), read_place(query.get("cursor", ""), _NAME)
        found = [each for each in await self._administration.customers() if each.customer > after]
        cursor = encode_cursor(found[most - 1].customer) if len(found) > most else None
        return json_response(customers_document(found[:most], cursor), HTTPStatus.OK)

    async def customer(self, request: Request, caller: Caller) -> Response:
        """Show a customer's open jobs, their limit, and what was used on each of the last 30 days (UTC)."""
        customer = read_customer("customer_id", request.path_params["customer_id"])
        usage = await self._backend.gateway.customers.usage(customer)
        if not usage.days and not usage.open_jobs and not await self._administration.keys(customer):
            raise NotFound("there is no such customer")
        return json_response(usage_document(usage, self._backend.bounds.open_jobs), HTTPStatus.OK)

    async def set_plan(self, request: Request, caller: Caller) -> Response:
        """Give all valid keys of a customer a plan that the operator's table names; it weighs in the queues
        within 10 s.
        """
        customer = read_customer("customer_id", request.path_params["customer_id"])
        given = read_model(PlanIn, await read_document(self._backend, caller.customer, request))
        keys = await self._administration.set_plan(caller, customer, given.plan)
        return json_response(plan_document(customer, given.plan, keys), HTTPStatus.OK)
