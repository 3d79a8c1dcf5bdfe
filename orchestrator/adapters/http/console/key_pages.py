"""API keys, for operators: listed, made and shown once, revoked; and their customers' plans."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.administration import keys_document, made_document
from orchestrator.adapters.http.new_keys import new_key
from orchestrator.adapters.http.paging import read_customer, wrong
from orchestrator.adapters.http.schema import KeyIn, read_model
from orchestrator.domain.access.roles import Role
from orchestrator.ports.customers import ApiKey

SHOWN = 200
DAY_MS = 86_400_000


class KeyPages:
    """Shows keys, and makes and revokes them."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._administration = backend.gateway.administration
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """List the keys of all customers, or of one, the latest first."""
        return await self._show(visit, None)

    async def create(self, visit: Visit) -> Response:
        """Make a key, and show it this once: that page is not to be come back to."""
        given = {name: value for name, value in visit.form.items() if name in _FIELDS and value}
        days = visit.form.get("days", "")
        if days and not (days.isascii() and days.isdigit()):
            raise wrong("days", "must be a whole number of days")
        expires = {"expires_at": visit.now_ms + int(days) * DAY_MS} if days else {}
        key, made = new_key(read_model(KeyIn, given | expires), visit.now_ms)
        await self._administration.add_key(visit.caller, key, made)
        return await self._show(visit, made_document(key, made))

    async def set_plan(self, visit: Visit) -> Response:
        """Give all valid keys of a customer a plan."""
        customer = read_customer("customer_id", visit.form.get("customer_id", ""))
        await self._administration.set_plan(visit.caller, customer, visit.form.get("plan", ""))
        query = urlencode({"customer": customer, "said": "planned"})
        return RedirectResponse(f"{ROOT}/keys?{query}", HTTPStatus.SEE_OTHER)

    async def revoke(self, visit: Visit) -> Response:
        """Revoke a key."""
        await self._administration.revoke_key(visit.caller, visit.request.path_params["key_id"])
        return RedirectResponse(f"{ROOT}/keys?said=revoked", HTTPStatus.SEE_OTHER)

    async def _show(self, visit: Visit, made: dict[str, object] | None) -> Response:
        named = visit.query.get("customer", "")
        found = await self._administration.keys(read_customer("customer", named) if named else None)
        document = keys_document(found[:SHOWN], None, visit.now_ms)
        return self._pages.page(
            "keys.html",
            visit=visit,
            made=made,
            named=named,
            of=len(found),
            roles=[*Role],
            plans=self._administration.plans,
            plan_now=_plan_of(found, visit.now_ms),
            **document,
        )


def _plan_of(keys: Sequence[ApiKey], now_ms: int) -> str:
    """Name the plan of a customer's valid keys, the latest key's where they differ; empty without any."""
    return next((key.plan for key in keys if key.is_valid(now_ms)), "")


_FIELDS = ("customer_id", "role", "label", "region", "plan")
