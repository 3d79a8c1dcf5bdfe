"""Webhooks again over HTTP: a job's, or those that failed for good."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.deliveries import (
    dead_document,
    pending_document,
    redelivered_document,
    redelivering_document,
)
from orchestrator.adapters.http.paging import (
    decode_cursor,
    encode_cursor,
    read_limit,
    read_named_domain,
    read_time,
)
from orchestrator.adapters.http.schema import SAFE_INT_MOST, RedeliverIn, read_model, unknown_fields
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.ids import CustomerId, DeliveryId, JobId, TargetDomain
from orchestrator.domain.roles import Caller
from orchestrator.ports.store import DeadFilter, DeadLetterCursor, PendingCursor

_PLACE = re.compile(r"([0-9]{1,16}) ([0-9a-z_]{1,80})\Z")
_PENDING_PLACE = re.compile(r"([0-9]{1,16}) ([0-9a-z_]{1,80}) (\S{1,300})\Z")


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
        cursor = write_dead_place(DeadLetterCursor(last.next_ms, last.id)) if last else None
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
            after=_pending_place(query.get("cursor", "")),
        )
        last = pending.deliveries[-1] if len(pending.deliveries) == most else None
        cursor = encode_cursor(f"{last.next_ms} {last.id} {last.endpoint}") if last else None
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


def dead_filter(customer: CustomerId, given: Mapping[str, str]) -> DeadFilter:
    """Read which of a customer's failed webhooks are meant, in a query or a form.

    Raises:
        InvalidFields: Something of it is wrong; it is named.
    """
    named = given.get("webhook_id")
    return DeadFilter(
        customer=customer,
        id=DeliveryId(named) if named else None,
        endpoint=read_named_domain("endpoint", given.get("endpoint", "")),
        since_ms=read_time("since", given.get("since", ""), 0),
        until_ms=read_time("until", given.get("until", ""), SAFE_INT_MOST),
    )


def write_dead_place(place: DeadLetterCursor) -> str:
    """Write where a page of failed webhooks ended."""
    return encode_cursor(f"{place.at_ms} {place.id}")


def read_dead_place(text: str) -> DeadLetterCursor | None:
    """Read it back; None of an empty text.

    Raises:
        InvalidFields: It is none.
    """
    if not text:
        return None
    found = decode_cursor(text, _PLACE)
    return DeadLetterCursor(int(found[1]), DeliveryId(found[2]))


def _pending_place(text: str) -> PendingCursor | None:
    if not text:
        return None
    found = decode_cursor(text, _PENDING_PLACE)
    return PendingCursor(TargetDomain(found[3]), int(found[1]), DeliveryId(found[2]))
