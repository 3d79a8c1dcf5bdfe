"""Webhooks: to whom they still go, which fail now and why, and those that failed for good."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.delivery_filters import dead_filter, read_dead_place, write_dead_place
from orchestrator.adapters.http.documents.administration import customers_document
from orchestrator.adapters.http.documents.deliveries import (
    dead_document,
    pending_document,
    receivers_document,
)
from orchestrator.adapters.http.paging import read_customer, read_named_domain
from orchestrator.adapters.http.schema import REDELIVER_MOST
from orchestrator.domain.access.audit import Act
from orchestrator.domain.ids import CustomerId
from orchestrator.ports.store import OutboxEntry

SHOWN = 50


class WebhookPages:
    """Shows one customer's deliveries, and has failed ones made again."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._deliveries = backend.gateway.deliveries
        self._administration = backend.gateway.administration
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """Show receivers, pending and dead deliveries; an operator says first whose."""
        if visit.whose is None:
            document = customers_document(await self._administration.customers(), None)
            return self._pages.page("webhooks_of.html", visit=visit, **document)
        customer = read_customer("customer", visit.whose)
        return self._pages.page("webhooks.html", visit=visit, **await self._shown(visit, customer))

    async def _shown(self, visit: Visit, customer: CustomerId) -> dict[str, Any]:
        asked = {name: visit.query[name] for name in ("endpoint", "customer") if visit.query.get(name)}
        endpoint = read_named_domain("endpoint", asked.get("endpoint", ""))
        pending = await self._deliveries.pending(customer, most=SHOWN, endpoint=endpoint, after=None)
        before = read_dead_place(visit.query.get("cursor", ""))
        dead = await self._deliveries.dead(dead_filter(customer, asked), most=SHOWN, before=before)
        return {
            "customer": customer,
            "asked": asked,
            "receivers": receivers_document(self._deliveries.receivers(customer, SHOWN)),
            "pending": pending_document(pending, None),
            "dead": dead_document(dead, _following(dead)),
        }

    async def redeliver(self, visit: Visit) -> Response:
        """Make failed deliveries again: one, an endpoint's, or all, at a bounded pace."""
        customer = read_customer("customer", visit.whose or "")
        wanted = dead_filter(customer, visit.form)
        if visit.caller.admin:
            subject = wanted.id or wanted.endpoint or "all"
            await self._administration.note(
                visit.caller, Act.WEBHOOKS_REDELIVERED, subject, customer=customer
            )
        await self._deliveries.redeliver_dead(wanted, REDELIVER_MOST)
        kept = {name: visit.form[name] for name in ("customer", "endpoint") if visit.form.get(name)}
        return RedirectResponse(
            f"{ROOT}/webhooks?{urlencode({**kept, 'said': 'redelivered'})}", HTTPStatus.SEE_OTHER
        )


def _following(dead: Sequence[OutboxEntry]) -> str | None:
    if len(dead) < SHOWN:
        return None
    return write_dead_place(dead[-1])
