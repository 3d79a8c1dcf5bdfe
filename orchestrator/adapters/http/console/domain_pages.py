"""Target domains: the pace that holds and why, queues and breakers; and what an operator does to them."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.starts import StartsSampler
from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.documents.domains import domain_document, domains_document
from orchestrator.adapters.http.domain_routes import read_pace
from orchestrator.adapters.http.paging import read_named_domain, wrong
from orchestrator.core.gateway.targets import just_before
from orchestrator.core.views import DomainView
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.ids import TargetDomain

SHOWN = 50
HOUR_MS = 3_600_000


class DomainPages:
    """Shows a customer's targets, or to an operator all, and acts on them for operators."""

    def __init__(self, backend: Backend, pages: Pages) -> None:
        self._targets = backend.gateway.targets
        self._starts = StartsSampler(self._targets.look, backend.gateway.clock)
        self._pages = pages

    async def show(self, visit: Visit) -> Response:
        """List targets by name, from a name on."""
        begins, after = visit.query.get("name", ""), visit.query.get("after", "")
        page = await self._targets.listed(
            visit.caller, most=SHOWN, after=just_before(begins) if begins else after
        )
        domains = domains_document(page, visit.caller)["domains"]
        following = page.domains[-1].name if page.more else None
        return self._pages.page(
            "domains.html", visit=visit, domains=domains, name=begins, after=after, following=following
        )

    async def show_one(self, visit: Visit) -> Response:
        """Show a target with every signal and every way to it."""
        view = await self._targets.show(visit.caller, _domain_of(visit))
        course = self._starts.course(view.name)
        domain = domain_document(view, visit.caller)
        return self._pages.page("domain.html", visit=visit, domain=domain, course=course)

    async def reset(self, visit: Visit) -> Response:
        """Forget what was learned of a target."""
        return await self._do(visit, self._targets.reset, "reset")

    async def pause(self, visit: Visit) -> Response:
        """Start nothing at a target."""
        return await self._do(visit, self._targets.pause, "paused")

    async def resume(self, visit: Visit) -> Response:
        """Let a target go that was paused."""
        return await self._do(visit, self._targets.resume, "resumed")

    async def set_pace(self, visit: Visit) -> Response:
        """Set a target's pace, for so many hours or for good; where neither is given it is lifted."""
        pace = read_pace(_pace_document(visit), visit.now_ms)

        async def act(caller: Caller, domain: TargetDomain) -> DomainView:
            return await self._targets.set_pace(caller, domain, pace)

        return await self._do(visit, act, "paced")

    async def _do(
        self, visit: Visit, act: Callable[[Caller, TargetDomain], Awaitable[DomainView]], said: str
    ) -> Response:
        domain = _domain_of(visit)
        await act(visit.caller, domain)
        return RedirectResponse(f"{ROOT}/domains/{quote(domain)}?said={said}", HTTPStatus.SEE_OTHER)


def _domain_of(visit: Visit) -> TargetDomain:
    domain = read_named_domain("domain", visit.request.path_params["domain"])
    if domain is None:
        raise wrong("domain", "must be a host, with its port if that is not 443")
    return domain


def _pace_document(visit: Visit) -> dict[str, object]:
    """Read the form: rps, places and hours.

    Raises:
        InvalidFields: One of them is no number.
    """
    given = {
        name: _number(name, visit.form[name])
        for name in ("rps", "max_concurrent", "hours")
        if visit.form.get(name)
    }
    hours = given.pop("hours", None)
    document: dict[str, object] = {**given}
    if "max_concurrent" in given:
        document["max_concurrent"] = int(given["max_concurrent"])
    if hours is not None:
        document["until_ms"] = visit.now_ms + int(hours * HOUR_MS)
    return document


def _number(field: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:  # noqa: PLR2004  # the API says more exactly what may be
        raise wrong(field, "must be a number above 0")
    return number
