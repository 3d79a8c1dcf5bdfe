"""Jobs of all customers over HTTP, for operators."""

from http import HTTPStatus

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.delivery_routes import DeliveryRoutes
from orchestrator.adapters.http.documents.jobs import page_of_all_document
from orchestrator.adapters.http.job_filters import filter_in_query
from orchestrator.adapters.http.job_routes import JobRoutes
from orchestrator.adapters.http.paging import read_cursor, read_customer, read_limit, wrong
from orchestrator.domain.access.audit import Act
from orchestrator.domain.access.roles import Caller


class AdminJobRoutes:
    """Looks at any job, and does to it what its customer may do: as that customer, and in the audit."""

    def __init__(self, backend: Backend) -> None:
        self._jobs = backend.gateway.jobs
        self._administration = backend.gateway.administration
        self._routes = JobRoutes(backend)
        self._deliveries = DeliveryRoutes(backend)

    async def list_jobs(self, request: Request, caller: Caller) -> Response:
        """List the jobs of all customers, or of ``customer``, that fit, newest first."""
        query = request.query_params
        named = query.get("customer", "")
        customer = read_customer("customer", named) if named else None
        if customer is None and query.get("idempotent_key"):
            raise wrong("idempotent_key", "is a customer's own: name the customer as well")
        page = await self._jobs.listed(
            filter_in_query(customer, query),
            most=read_limit(query.get("limit", "")),
            before=read_cursor(query.get("cursor", "")),
        )
        return json_response(page_of_all_document(page), HTTPStatus.OK)

    async def show(self, request: Request, caller: Caller) -> Response:
        """Show any customer's job, as that customer sees it."""
        return await self._routes.show(request, await self._owner(request, caller))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel any customer's job; 409 where it has ended."""
        return await self._routes.cancel(request, await self._noted(request, caller, Act.JOB_CANCELLED))

    async def replay(self, request: Request, caller: Caller) -> Response:
        """Make a new job of a finished one, its customer's."""
        return await self._routes.replay(request, await self._noted(request, caller, Act.JOB_REPLAYED))

    async def redeliver(self, request: Request, caller: Caller) -> Response:
        """Send all webhooks of a finished job again, accepted ones too; 409 where there are none."""
        owner = await self._noted(request, caller, Act.JOB_REDELIVERED)
        return await self._deliveries.redeliver_job(request, owner)

    async def _owner(self, request: Request, caller: Caller) -> Caller:
        """Name the operator in the place of the job's customer."""
        return replace(caller, customer=await self._administration.owner_of(request.path_params["job_id"]))

    async def _noted(self, request: Request, caller: Caller, act: Act) -> Caller:
        owner = await self._owner(request, caller)
        await self._administration.note(caller, act, request.path_params["job_id"], customer=owner.customer)
        return owner
