"""API keys: how they read, and under what they are found."""

import hashlib
import re

from orchestrator.domain.ids import CustomerId

CUSTOMER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def checked_customer(name: str) -> CustomerId:
    """Read a customer's id.

    Raises:
        ValueError: It is none.
    """
    if not CUSTOMER.match(name):
        msg = f"customer {name!r} must be letters, digits, '_' and '-', at most 64, such as cust_acme"
        raise ValueError(msg)
    return CustomerId(name)


def key_text(customer: CustomerId, secret: str) -> str:
    """Write a key as its holder sends it."""
    return f"ck_live_{customer}_{secret}"


def key_hash(key: str) -> bytes:
    """Hash an API key for look-up."""
    return hashlib.sha256(key.encode()).digest()
