"""The query of a list: how many, and where the last page ended."""

import base64
import binascii
import re

from orchestrator.domain.access.api_keys import checked_customer
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain, read_domain
from orchestrator.ports.store import JobCursor

PAGE_DEFAULT = 50
PAGE_MOST = 200
NUMBER_PLACE = re.compile(r"([0-9]{1,15})\Z")
"""A place that is a number."""
_TIME = re.compile(r"[0-9]{1,16}\Z", re.ASCII)
_DOMAIN = re.compile(r"(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?\Z")
_PLACE = re.compile(r"([0-9]{1,16}) (job_[0-9]{1,20}_[0-9]{1,20})\Z")


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


def read_place(cursor: str, pattern: re.Pattern[str]) -> str:
    """Read a place of one part back; empty of an empty cursor.

    Raises:
        InvalidFields: It is none.
    """
    return decode_cursor(cursor, pattern)[1] if cursor else ""


def read_limit(text: str) -> int:
    """Read how many a page holds.

    Raises:
        InvalidFields: It is not a number, or too large.
    """
    fits = text.isascii() and text.isdigit() and len(text) <= len(str(PAGE_MOST))
    if text and not (fits and 1 <= int(text) <= PAGE_MOST):
        raise wrong("limit", f"must be a whole number from 1 to {PAGE_MOST}")
    return int(text or PAGE_DEFAULT)


def read_cursor(text: str) -> JobCursor | None:
    """Read where the page before ended.

    Raises:
        InvalidFields: It is no place.
    """
    if not text:
        return None
    found = decode_cursor(text, _PLACE)
    return JobCursor(int(found[1]), JobId(found[2]))


def wrong(field: str, message: str) -> InvalidFields:
    """Name what is wrong with a query."""
    return InvalidFields([FieldError(field, message)])


def read_named_domain(field: str, text: str) -> TargetDomain | None:
    """Read a host in any spelling, with its port unless that is 443, or a whole URL; an empty text is none.

    Raises:
        InvalidFields: It names no host.
    """
    if not text:
        return None
    try:
        domain = read_domain(text)
    except ValueError:
        domain = TargetDomain("")
    if not _DOMAIN.match(domain):
        raise wrong(field, "must be a host, with its port if that is not 443, or a URL")
    return domain


def read_customer(field: str, text: str) -> CustomerId:
    """Read a customer's id.

    Raises:
        InvalidFields: It is none.
    """
    try:
        return checked_customer(text)
    except ValueError as error:
        raise wrong(field, str(error)) from None


def read_time(field: str, text: str, otherwise: int) -> int:
    """Read Unix ms.

    Raises:
        InvalidFields: It is none.
    """
    if text and not _TIME.match(text):
        raise wrong(field, "must be Unix time in milliseconds")
    return int(text) if text else otherwise
