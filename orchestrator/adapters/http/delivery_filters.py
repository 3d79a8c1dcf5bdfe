"""Which webhooks a list of them means, and where its pages end: the same in the API and in the console."""

import re
from collections.abc import Mapping

from orchestrator.adapters.http.paging import decode_cursor, encode_cursor, read_named_domain, read_time
from orchestrator.adapters.http.schema import SAFE_INT_MOST
from orchestrator.domain.ids import CustomerId, DeliveryId, TargetDomain
from orchestrator.ports.store import DeadFilter, DeadLetterCursor, OutboxEntry, PendingCursor

_DEAD_PLACE = re.compile(r"([0-9]{1,16}) ([0-9a-z_]{1,80})\Z")
_PENDING_PLACE = re.compile(r"([0-9]{1,16}) ([0-9a-z_]{1,80}) (\S{1,300})\Z")


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


def write_dead_place(last: OutboxEntry) -> str:
    """Write where a page of failed webhooks ended: with its last."""
    return encode_cursor(f"{last.next_ms} {last.id}")


def read_dead_place(text: str) -> DeadLetterCursor | None:
    """Read it back; None of an empty text.

    Raises:
        InvalidFields: It is none.
    """
    if not text:
        return None
    found = decode_cursor(text, _DEAD_PLACE)
    return DeadLetterCursor(int(found[1]), DeliveryId(found[2]))


def write_pending_place(last: OutboxEntry) -> str:
    """Write where a page of pending webhooks ended: with its last."""
    return encode_cursor(f"{last.next_ms} {last.id} {last.endpoint}")


def read_pending_place(text: str) -> PendingCursor | None:
    """Read it back; None of an empty text.

    Raises:
        InvalidFields: It is none.
    """
    if not text:
        return None
    found = decode_cursor(text, _PENDING_PLACE)
    return PendingCursor(TargetDomain(found[3]), int(found[1]), DeliveryId(found[2]))
