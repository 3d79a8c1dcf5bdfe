"""API keys over HTTP, for operators."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response, read_document
from orchestrator.adapters.http.documents.administration import keys_document, made_document, revoked_document
from orchestrator.adapters.http.new_keys import new_key
from orchestrator.adapters.http.paging import (
    NUMBER_PLACE,
    encode_cursor,
    read_customer,
    read_limit,
    read_place,
)
from orchestrator.adapters.http.schema import KeyIn, read_model, unknown_fields
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.errors import FieldError, InvalidFields


class AdminKeyRoutes:
    """Lists, makes and revokes keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._administration = backend.gateway.administration
        self._clock = backend.gateway.clock

    async def keys(self, request: Request, caller: Caller) -> Response:
        """List the keys of all customers, or of ``customer``, the latest first; never the keys themselves."""
        query = request.query_params
        named = query.get("customer", "")
        customer = read_customer("customer", named) if named else None
        most, start = (
            read_limit(query.get("limit", "")),
            int(read_place(query.get("cursor", ""), NUMBER_PLACE) or 0),
        )
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
