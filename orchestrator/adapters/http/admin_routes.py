"""Customers, keys and the audit over HTTP, for operators."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.api_keys import make_key
from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.administration import (
    audit_document,
    customers_document,
    keys_document,
    made_document,
    revoked_document,
)
from orchestrator.adapters.http.documents.overviews import usage_document
from orchestrator.adapters.http.paging import (
    decode_cursor,
    encode_cursor,
    read_customer,
    read_limit,
    read_time,
    wrong,
)
from orchestrator.adapters.http.schema import SAFE_INT_MOST, KeyIn, read_model, unknown_fields
from orchestrator.domain.api_keys import checked_customer, checked_expiry, checked_label
from orchestrator.domain.audit import AuditFilter
from orchestrator.domain.errors import FieldError, InvalidFields, NotFound
from orchestrator.domain.ids import RegionName, is_region_name
from orchestrator.domain.roles import Caller, Role
from orchestrator.ports.customers import ApiKey

_NAME = re.compile(r"(.{1,64})\Z")
_NUMBER = re.compile(r"([0-9]{1,15})\Z")


class AdminRoutes:
    """Looks at customers, keys and the audit, and makes and revokes keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._administration = backend.gateway.administration
        self._clock = backend.gateway.clock

    async def customers(self, request: Request, caller: Caller) -> Response:
        """Show everybody who has, or had, a key, by name; ``next_cursor`` is null on the last page."""
        most, after = read_limit(request.query_params.get("limit", "")), _after(request, _NAME)
        found = [each for each in await self._administration.customers() if each.customer > after]
        cursor = encode_cursor(found[most - 1].customer) if len(found) > most else None
        return json_response(customers_document(found[:most], cursor), HTTPStatus.OK)

    async def customer(self, request: Request, caller: Caller) -> Response:
        """Show a customer's open jobs, their limit, and what was used on each of the last 30 days (UTC)."""
        customer = read_customer("customer_id", request.path_params["customer_id"])
        usage = await self._backend.gateway.customers.usage(customer)
        if not usage.days and not usage.open_jobs and not await self._administration.keys(customer):
            raise NotFound("there is no such customer")
        return json_response(usage_document(usage, self._backend.bounds.open_jobs), HTTPStatus.OK)

    async def keys(self, request: Request, caller: Caller) -> Response:
        """List the keys of all customers, or of ``customer``, the latest first; never the keys themselves."""
        query = request.query_params
        named = query.get("customer", "")
        customer = read_customer("customer", named) if named else None
        most, start = read_limit(query.get("limit", "")), int(_after(request, _NUMBER) or 0)
        found = await self._administration.keys(customer)
        cursor = encode_cursor(str(start + most)) if len(found) > start + most else None
        page = found[start : start + most]
        return json_response(keys_document(page, cursor, self._clock.unix_ms()), HTTPStatus.OK)

    async def create_key(self, request: Request, caller: Caller) -> Response:
        """Make a key, and show it this once. ``expires_at`` is Unix ms."""
        document = await read_document(self._backend, caller.customer, request)
        if unknown := unknown_fields(KeyIn, document):
            # A misspelt expiry would make a key that never expires.
            raise InvalidFields([FieldError(name, "is no field of a key") for name in unknown])
        key, made = new_key(read_model(KeyIn, document), self._clock.unix_ms())
        await self._administration.add_key(caller, key, made)
        return json_response(made_document(key, made), HTTPStatus.CREATED)

    async def revoke_key(self, request: Request, caller: Caller) -> Response:
        """Revoke a key by its id; it stops working within 2 s."""
        key_id = request.path_params["key_id"]
        await self._administration.revoke_key(caller, key_id)
        return json_response(revoked_document(key_id), HTTPStatus.OK)

    async def audit(self, request: Request, caller: Caller) -> Response:
        """List what operators did, and which keys were made and revoked, the latest first."""
        query = request.query_params
        most = read_limit(query.get("limit", ""))
        wanted = AuditFilter(
            since_ms=read_time("since", query.get("since", ""), 0),
            until_ms=read_time("until", query.get("until", ""), SAFE_INT_MOST),
            before=int(_after(request, _NUMBER) or SAFE_INT_MOST),
        )
        lines = await self._administration.audit(wanted, most + 1)
        cursor = encode_cursor(str(lines[most - 1].number)) if len(lines) > most else None
        return json_response(audit_document(lines[:most], cursor), HTTPStatus.OK)


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


def _after(request: Request, place: re.Pattern[str]) -> str:
    cursor = request.query_params.get("cursor", "")
    return decode_cursor(cursor, place)[1] if cursor else ""
