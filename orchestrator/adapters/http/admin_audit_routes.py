"""The audit over HTTP, for operators."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend, json_response
from orchestrator.adapters.http.documents.administration import audit_document
from orchestrator.adapters.http.paging import NUMBER_PLACE, encode_cursor, read_limit, read_place, read_time
from orchestrator.adapters.http.schema import SAFE_INT_MOST
from orchestrator.domain.access.audit import AuditFilter
from orchestrator.domain.access.roles import Caller


class AdminAuditRoutes:
    """Shows what operators did."""

    def __init__(self, backend: Backend) -> None:
        self._administration = backend.gateway.administration

    async def audit(self, request: Request, caller: Caller) -> Response:
        """List what operators did, and which keys were made and revoked, the latest first."""
        query = request.query_params
        most = read_limit(query.get("limit", ""))
        wanted = AuditFilter(
            since_ms=read_time("since", query.get("since", ""), 0),
            until_ms=read_time("until", query.get("until", ""), SAFE_INT_MOST),
            before=int(read_place(query.get("cursor", ""), NUMBER_PLACE) or SAFE_INT_MOST),
        )
        lines = await self._administration.audit(wanted, most + 1)
        cursor = encode_cursor(str(lines[most - 1].number)) if len(lines) > most else None
        return json_response(audit_document(lines[:most], cursor), HTTPStatus.OK)
