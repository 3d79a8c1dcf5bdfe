"""API keys: how they read, and under what they are found."""

import hashlib
import re

from orchestrator.domain.ids import CustomerId

CUSTOMER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
LABEL_LENGTH_MOST = 100
DEFAULT_PLAN = "pro"
HOUR_MS = 3_600_000
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999 (Unix ms): what comes after it is no date."""


def checked_customer(name: str) -> CustomerId:
    """Read a customer's id.

    Raises:
        ValueError: It is none.
    """
    if not CUSTOMER.match(name):
        msg = f"customer {name!r} must be letters, digits, '_' and '-', at most 64, such as cust_acme"
        raise ValueError(msg)
    return CustomerId(name)


def checked_label(label: str) -> str:
    """Read what a key is called by people.

    Raises:
        ValueError: It is too long, or holds what can't be seen.
    """
    if len(label) > LABEL_LENGTH_MOST or not label.isprintable():
        msg = f"a label is at most {LABEL_LENGTH_MOST} characters, all of which can be seen"
        raise ValueError(msg)
    return label


def checked_expiry(expires_ms: int | None, now_ms: int) -> int | None:
    """Read from when on a key is not valid any more (Unix ms); None: never.

    Raises:
        ValueError: It has passed, or is no date.
    """
    if expires_ms is not None and not now_ms < expires_ms <= LATEST_MS:
        raise ValueError("a key expires in the future, and before the year 10000")
    return expires_ms


def hour_of(unix_ms: int) -> int:
    """Give the start of a moment's hour (Unix ms): a key's last use is kept to the hour."""
    return unix_ms - unix_ms % HOUR_MS


def key_text(customer: CustomerId, secret: str) -> str:
    """Write a key as its holder sends it."""
    return f"ck_live_{customer}_{secret}"


def key_hash(key: str) -> bytes:
    """Hash an API key for look-up."""
    return hashlib.sha256(key.encode()).digest()
