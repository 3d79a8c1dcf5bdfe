"""A key that is asked for, over HTTP or in the console: checked, and drawn."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.adapters.api_keys import make_key
from orchestrator.adapters.http.paging import wrong
from orchestrator.adapters.http.schema import KeyIn
from orchestrator.domain.access.api_keys import checked_customer, checked_expiry, checked_label
from orchestrator.domain.access.roles import Role
from orchestrator.domain.ids import RegionName, is_region_name
from orchestrator.ports.customers import ApiKey


def new_key(given: KeyIn, now_ms: int) -> tuple[str, ApiKey]:
    """Draw the key that is asked for at ``now_ms`` (Unix ms).

    Raises:
        InvalidFields: Something of it is wrong; it is named.
    """
    if not given.customer_id and given.role in (Role.SUBMIT, Role.READ):
        raise wrong("customer_id", "is required: an id such as cust_acme")
    with _naming("customer_id"):
        customer = given.customer_id and checked_customer(given.customer_id)
    with _naming("label"):
        label = checked_label(given.label)
    with _naming("expires_at"):
        expires_ms = checked_expiry(given.expires_at, now_ms)
    region = _region(given.region)
    with _naming("region"):
        return make_key(
            customer,
            given.plan,
            given.role,
            now_ms=now_ms,
            region=region,
            label=label,
            expires_ms=expires_ms,
        )


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Name the field that a value is wrong in.

    Raises:
        InvalidFields: It is.
    """
    try:
        yield
    except ValueError as error:
        raise wrong(field, str(error)) from None


def _region(name: str | None) -> RegionName | None:
    if name is not None and not is_region_name(name):
        raise wrong("region", "must be lower case letters, digits and '-', a letter first")
    return None if name is None else RegionName(name)
