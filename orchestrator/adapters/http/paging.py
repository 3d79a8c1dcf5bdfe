"""The query of a list: which state, how many, and where the last page ended."""

import base64
import binascii
import re
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.ids import JobId
from orchestrator.domain.lifecycle import JobState
from orchestrator.ports.store import JobCursor

PAGE_DEFAULT = 50
PAGE_MOST = 200
_PLACE = re.compile(r"([0-9]{1,16}) (job_[0-9]{1,20}_[0-9]{1,20})\Z")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a list is asked for."""

    state: JobState | None
    most: int
    before: JobCursor | None


def read_page_query(query: QueryParams) -> PageQuery:
    """Read ``state``, ``limit`` and ``cursor``; an empty one counts as absent.

    Raises:
        InvalidFields: One of them is wrong; it is named.
    """
    return PageQuery(
        _state(query.get("state", "")), read_limit(query.get("limit", "")), _place(query.get("cursor", ""))
    )


def write_cursor(place: JobCursor | None) -> str | None:
    """Write a cursor: opaque to clients, and of no use but to be handed back."""
    if place is None:
        return None
    return encode_cursor(f"{place.accepted_ms} {place.job_id}")


def encode_cursor(place: str) -> str:
    """Write a place as clients get it."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(text: str, pattern: re.Pattern[str]) -> re.Match[str]:
    """Read a place back.

    Raises:
        InvalidFields: It is none.
    """
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        plain = ""
    found = pattern.match(plain)
    if found is None:
        raise wrong("cursor", "is not one that this service gave out: send next_cursor of the page before")
    return found


def _state(text: str) -> JobState | None:
    if text and text not in set(JobState):
        raise wrong("state", f"must be one of {', '.join(JobState)}")
    return JobState(text) if text else None


def read_limit(text: str) -> int:
    """Read how many a page holds.

    Raises:
        InvalidFields: It is not a number, or too large.
    """
    fits = text.isascii() and text.isdigit() and len(text) <= len(str(PAGE_MOST))
    if text and not (fits and 1 <= int(text) <= PAGE_MOST):
        raise wrong("limit", f"must be a whole number from 1 to {PAGE_MOST}")
    return int(text or PAGE_DEFAULT)


def _place(text: str) -> JobCursor | None:
    if not text:
        return None
    found = decode_cursor(text, _PLACE)
    return JobCursor(int(found[1]), JobId(found[2]))


def wrong(field: str, message: str) -> InvalidFields:
    """Name what is wrong with a query."""
    return InvalidFields([FieldError(field, message)])
