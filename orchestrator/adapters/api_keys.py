"""New API keys: drawn here, of 256 bits, whichever store keeps them."""

import secrets
import string

from orchestrator.domain.access.api_keys import checked_customer, checked_expiry, checked_label, key_text
from orchestrator.domain.access.roles import Role
from orchestrator.domain.ids import RegionName
from orchestrator.ports.customers import ApiKey

SECRET_LENGTH = 43
"""Characters of base 62: 256 bits."""
KEY_ID_LENGTH = 10
ALPHABET = string.ascii_letters + string.digits
OWNERS_OF_NO_CUSTOMER = {Role.ADMIN: "operators", Role.REGION: "regions"}
"""Whose keys of these roles are, where nobody is named: no customer stands behind them."""


def make_key(
    customer: str,
    plan: str,
    role: Role,
    *,
    now_ms: int,
    region: RegionName | None = None,
    label: str = "",
    expires_ms: int | None = None,
) -> tuple[str, ApiKey]:
    """Draw a key: its text, of which nothing is kept but a hash, and what is listed of it. A key of the role
    admin or region needs no ``customer``.

    Raises:
        ValueError: The customer's id is none, a region's key names no region, or another's does, or the label
            or the expiry is none.
    """
    if (role is Role.REGION) != (region is not None):
        raise ValueError("a key of the role region names its region, and no other key does")
    owner = checked_customer(customer or OWNERS_OF_NO_CUSTOMER.get(role, ""))
    made = ApiKey(
        key_id=_random(KEY_ID_LENGTH),
        customer=owner,
        plan=plan,
        created_ms=now_ms,
        role=role,
        region=region,
        label=checked_label(label),
        expires_ms=checked_expiry(expires_ms, now_ms),
    )
    return key_text(owner, _random(SECRET_LENGTH)), made


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
