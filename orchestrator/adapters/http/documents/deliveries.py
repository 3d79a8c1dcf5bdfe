"""Webhooks that are still to be made, and those that failed for good."""

from collections.abc import Iterable
from typing import Any

from orchestrator.core.views import PendingDeliveries, ReceiverView, Redelivered
from orchestrator.domain.ids import JobId
from orchestrator.domain.webhooks.fanout import DeliveryAttempt
from orchestrator.ports.store import OutboxEntry, PendingEndpoint


def dead_document(dead: Iterable[OutboxEntry], next_cursor: str | None) -> dict[str, Any]:
    """Show a page of deliveries that failed for good."""
    deliveries = [_known_of(entry) | {"failed_at": entry.next_ms} for entry in dead]
    return {"deliveries": deliveries, "next_cursor": next_cursor}


def pending_document(pending: PendingDeliveries, next_cursor: str | None) -> dict[str, Any]:
    """Show a page of deliveries that are still to be made, and whom they go to."""
    return {
        "endpoints": [_endpoint_document(each) for each in pending.endpoints],
        "deliveries": [_pending_document(entry) for entry in pending.deliveries],
        "next_cursor": next_cursor,
    }


def receivers_document(receivers: Iterable[ReceiverView]) -> list[dict[str, Any]]:
    """Show how receivers take webhooks; times in s."""
    return [
        {
            "endpoint": each.endpoint,
            "attempts": each.attempts,
            "taken_share": each.taken / each.attempts,
            "p50_s": each.p50_s,
            "p99_s": each.p99_s,
        }
        for each in receivers
    ]


def redelivering_document(job_id: JobId, count: int) -> dict[str, Any]:
    """Say that a job's webhooks are sent again."""
    return {"job_id": job_id, "status": "redelivering", "deliveries": count}


def redelivered_document(again: Redelivered) -> dict[str, Any]:
    """Say how many failed webhooks are sent again, and until when."""
    return {
        "status": "redelivering",
        "deliveries": again.count,
        "last_at": again.last_ms,
        "more": again.more,
    }


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
