"""Webhooks again over HTTP: a job's, or those that failed for good."""

import re
from http import HTTPStatus
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, own_job, read_document
from orchestrator.adapters.http.paging import (
    decode_cursor,
    encode_cursor,
    read_limit,
    read_named_domain,
    read_time,
)
from orchestrator.adapters.http.schema import SAFE_INT_MOST, RedeliverIn, read_model, unknown_fields
from orchestrator.domain.errors import Conflict, FieldError, InvalidFields, NotFound
from orchestrator.domain.fanout import DeliveryAttempt
from orchestrator.domain.ids import CustomerId, DeliveryId, TargetDomain
from orchestrator.ports.store import DeadFilter, DeadLetterCursor, OutboxEntry, PendingCursor, PendingEndpoint

_PLACE = re.compile(r"([0-9]{1,16}) ([0-9a-z_]{1,80})\Z")
_PENDING_PLACE = re.compile(r"([0-9]{1,16}) ([0-9a-z_]{1,80}) (\S{1,300})\Z")
ENDPOINTS_MOST = 200


class DeliveryRoutes:
    """Send webhooks again, and list those that nobody took."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def redeliver_job(self, request: Request) -> Response:
        """Send all webhooks of a finished job again, accepted ones too; 409 where there are none."""
        customer = await self._backend.keys.customer(request)
        stored = await own_job(self._backend, customer, request.path_params["job_id"])
        if not stored.state.ended:
            raise Conflict(f"the job has not ended ({stored.state}): its webhooks are still to come")
        if not stored.deliveries:
            raise Conflict("the job has no webhooks")
        count = await self._backend.shard.redelivery.job(stored.job.id)
        document = {"job_id": stored.job.id, "status": "redelivering", "deliveries": count}
        return json_response(document, HTTPStatus.ACCEPTED)

    async def list_dead(self, request: Request) -> Response:
        """List webhooks that failed for good, newest first; ``next_cursor`` is null on the last page."""
        customer = await self._backend.keys.customer(request)
        query = request.query_params
        most = read_limit(query.get("limit", ""))
        dead = await self._backend.shard.store.dead_deliveries(
            _filter(customer, query), most=most, before=_place(query.get("cursor", ""))
        )
        cursor = encode_cursor(f"{dead[-1].next_ms} {dead[-1].id}") if len(dead) == most else None
        document = {"deliveries": [_dead_document(entry) for entry in dead], "next_cursor": cursor}
        return json_response(document, HTTPStatus.OK)

    async def list_pending(self, request: Request) -> Response:
        """List webhooks that are still to be made, by endpoint, and whom they go to: how many of them fail,
        why, and when the next is tried. ``next_cursor`` is null on the last page.
        """
        customer = await self._backend.keys.customer(request)
        query, store = request.query_params, self._backend.shard.store
        most, after = read_limit(query.get("limit", "")), _pending_place(query.get("cursor", ""))
        endpoint = read_named_domain("endpoint", query.get("endpoint", ""))
        told = await store.pending_endpoints(customer, most=ENDPOINTS_MOST, endpoint=endpoint)
        found = await store.pending_deliveries(customer, most=most, endpoint=endpoint, after=after)
        last = found[-1] if len(found) == most else None
        document = {
            "endpoints": [_endpoint_document(each) for each in told],
            "deliveries": [_pending_document(entry) for entry in found],
            "next_cursor": last and encode_cursor(f"{last.next_ms} {last.id} {last.endpoint}"),
        }
        return json_response(document, HTTPStatus.OK)

    async def redeliver_dead(self, request: Request) -> Response:
        """Send failed webhooks again, all that are meant, at a bounded pace; ``more``: some are left."""
        customer = await self._backend.keys.customer(request)
        document = await read_document(request, self._backend.bounds)
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
        again = await self._backend.shard.redelivery.dead(wanted, given.limit)
        if wanted.id is not None and not again.count:
            raise NotFound("no failed webhook of yours has that id")
        answer = {
            "status": "redelivering",
            "deliveries": again.count,
            "last_at": again.last_ms,
            "more": again.more,
        }
        return json_response(answer, HTTPStatus.ACCEPTED)


def _filter(customer: CustomerId, query: QueryParams) -> DeadFilter:
    return DeadFilter(
        customer=customer,
        endpoint=read_named_domain("endpoint", query.get("endpoint", "")),
        since_ms=read_time("since", query.get("since", ""), 0),
        until_ms=read_time("until", query.get("until", ""), SAFE_INT_MOST),
    )


def _place(text: str) -> DeadLetterCursor | None:
    if not text:
        return None
    found = decode_cursor(text, _PLACE)
    return DeadLetterCursor(int(found[1]), DeliveryId(found[2]))


def _pending_place(text: str) -> PendingCursor | None:
    if not text:
        return None
    found = decode_cursor(text, _PENDING_PLACE)
    return PendingCursor(TargetDomain(found[3]), int(found[1]), DeliveryId(found[2]))


def _dead_document(entry: OutboxEntry) -> dict[str, Any]:
    return _known_of(entry) | {"failed_at": entry.next_ms}


def _pending_document(entry: OutboxEntry) -> dict[str, Any]:
    return _known_of(entry) | {"first_at": entry.first_ms, "next_at": entry.next_ms}


def _known_of(entry: OutboxEntry) -> dict[str, Any]:
    return {
        "webhook_id": entry.id,
        "job_id": entry.job_id,
        "endpoint": entry.endpoint,
        "attempts": len(entry.log),
        **_reason(entry.log[-1] if entry.log else None),
    }


def _endpoint_document(each: PendingEndpoint) -> dict[str, Any]:
    return {
        "endpoint": each.endpoint,
        "deliveries": each.deliveries,
        "failing": each.failing,
        "next_at": each.next_ms,
        "last_attempt_at": each.last.at_ms if each.last else None,
        **_reason(each.last),
    }


def _reason(last: DeliveryAttempt | None) -> dict[str, Any]:
    """Say how the last attempt ended; all is null where none has."""
    return {
        "status_code": last.status if last else None,
        "error": (last.message if last else "") or None,
    }
