"""Webhooks again over HTTP: a job's, or those that failed for good."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.delivery_filters import (
    dead_filter,
    read_dead_place,
    read_pending_place,
    write_dead_place,
    write_pending_place,
)
from orchestrator.adapters.http.documents.deliveries import (
    dead_document,
    pending_document,
    redelivered_document,
    redelivering_document,
)
from orchestrator.adapters.http.paging import read_limit, read_named_domain
from orchestrator.adapters.http.schema import SAFE_INT_MOST, RedeliverIn, read_model, unknown_fields
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.ids import DeliveryId, JobId
from orchestrator.ports.store import DeadFilter


class DeliveryRoutes:
    """Send webhooks again, and list those that nobody took."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._deliveries = backend.gateway.deliveries

    async def redeliver_job(self, request: Request, caller: Caller) -> Response:
        """Send all webhooks of a finished job again, accepted ones too; 409 where there are none."""
        job_id = request.path_params["job_id"]
        count = await self._backend.gateway.jobs.redeliver(caller.customer, job_id)
        return json_response(redelivering_document(JobId(job_id), count), HTTPStatus.ACCEPTED)

    async def list_dead(self, request: Request, caller: Caller) -> Response:
        """List webhooks that failed for good, newest first; ``next_cursor`` is null on the last page."""
        query = request.query_params
        most = read_limit(query.get("limit", ""))
        dead = await self._deliveries.dead(
            dead_filter(caller.customer, query), most=most, before=read_dead_place(query.get("cursor", ""))
        )
        last = dead[-1] if len(dead) == most else None
        cursor = write_dead_place(last) if last else None
        return json_response(dead_document(dead, cursor), HTTPStatus.OK)

    async def list_pending(self, request: Request, caller: Caller) -> Response:
        """List webhooks that are still to be made, by endpoint, and whom they go to: how many of them fail,
        why, and when the next is tried. ``next_cursor`` is null on the last page.
        """
        query = request.query_params
        most = read_limit(query.get("limit", ""))
        pending = await self._deliveries.pending(
            caller.customer,
            most=most,
            endpoint=read_named_domain("endpoint", query.get("endpoint", "")),
            after=read_pending_place(query.get("cursor", "")),
        )
        last = pending.deliveries[-1] if len(pending.deliveries) == most else None
        cursor = write_pending_place(last) if last else None
        return json_response(pending_document(pending, cursor), HTTPStatus.OK)

    async def redeliver_dead(self, request: Request, caller: Caller) -> Response:
        """Send failed webhooks again, all that are meant, at a bounded pace; ``more``: some are left."""
        customer = caller.customer
        document = await read_document(self._backend, customer, request)
        if unknown := unknown_fields(RedeliverIn, document):
            # A misspelt filter would mean all of them.
            raise InvalidFields([FieldError(name, "is no filter of failed webhooks") for name in unknown])
        given = read_model(RedeliverIn, document)
        wanted = DeadFilter(
            customer=customer,
            id=None if given.webhook_id is None else DeliveryId(given.webhook_id),
            endpoint=read_named_domain("endpoint", given.endpoint or ""),
            since_ms=given.since or 0,
            until_ms=SAFE_INT_MOST if given.until is None else given.until,
        )
        again = await self._deliveries.redeliver_dead(wanted, given.limit)
        return json_response(redelivered_document(again), HTTPStatus.ACCEPTED)
