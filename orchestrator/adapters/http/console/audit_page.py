"""Who did what, for operators."""

import re

from starlette.responses import Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.job_filter_form import FIELDS_OF_TIME, SPANS, times_of
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.administration import audit_document
from orchestrator.adapters.http.paging import decode_cursor, encode_cursor, read_time
from orchestrator.adapters.http.schema import SAFE_INT_MOST
from orchestrator.domain.access.audit import AuditFilter

SHOWN = 100
_NUMBER = re.compile(r"([0-9]{1,15})\Z")


class AuditPage:
    """Shows the audit."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._administration = backend.gateway.administration
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """List what operators did, the latest first."""
        asked = {name: visit.query[name] for name in FIELDS_OF_TIME if visit.query.get(name)}
        times, cursor = times_of(asked, visit.now_ms), visit.query.get("cursor", "")
        wanted = AuditFilter(
            since_ms=read_time("since", times.get("since", ""), 0),
            until_ms=read_time("until", times.get("until", ""), SAFE_INT_MOST),
            before=int(decode_cursor(cursor, _NUMBER)[1]) if cursor else SAFE_INT_MOST,
        )
        lines = await self._administration.audit(wanted, SHOWN + 1)
        following = encode_cursor(str(lines[SHOWN - 1].number)) if len(lines) > SHOWN else None
        document = audit_document(lines[:SHOWN], following)
        return self._pages.page("audit.html", visit=visit, asked=asked, spans=SPANS, **document)
