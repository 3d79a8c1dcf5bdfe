"""Which page or act of the console is where, and the call of the API whose roles it takes."""

from collections.abc import Iterator

from starlette.routing import Route

from orchestrator.adapters.http.access import ADMIN, API, JOBS_PATH
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.console.audit_page import AuditPage
from orchestrator.adapters.http.console.domain_pages import DomainPages
from orchestrator.adapters.http.console.door import Door
from orchestrator.adapters.http.console.job_pages import ACTS, JobPages
from orchestrator.adapters.http.console.jobs_pages import JobsPages
from orchestrator.adapters.http.console.key_pages import KeyPages
from orchestrator.adapters.http.console.many_jobs_pages import CALLS, ManyJobsPages
from orchestrator.adapters.http.console.overview_page import OverviewPage
from orchestrator.adapters.http.console.pages import Pages
from orchestrator.adapters.http.console.paths import ROOT
from orchestrator.adapters.http.console.region_pages import RegionPages
from orchestrator.adapters.http.console.usage_page import UsagePage
from orchestrator.adapters.http.console.visit import Handler
from orchestrator.adapters.http.console.webhook_pages import WebhookPages

LISTING = f"GET {JOBS_PATH}"
SHOWING = f"GET {JOBS_PATH}/{{job_id}}"
_DOMAIN = f"{API}/domains/{{domain:path}}"


class Routes:
    """Makes the routes behind the door."""

    def __init__(self, backend: Backend, pages: Pages, door: Door) -> None:
        self._backend = backend
        self._pages = pages
        self._door = door

    def all(self) -> Iterator[Route]:
        """Give every page and act; of two that fit a path the first counts."""
        yield self._act("/sign-out", LISTING, self._door.sign_out)
        yield self._page("", f"GET {API}/usage", OverviewPage(self._backend, self._pages).show)
        yield from self._jobs()
        yield from self._domains()
        yield from self._webhooks_and_regions()
        yield self._page("/usage", f"GET {API}/usage", UsagePage(self._backend, self._pages).show)
        yield from self._of_operators()

    def _jobs(self) -> Iterator[Route]:
        jobs, many = JobsPages(self._backend, self._pages), ManyJobsPages(self._backend, self._pages)
        job, one = JobPages(self._backend, self._pages, self._door), "/jobs/{job_id}"
        yield self._page("/jobs", LISTING, jobs.show)
        yield self._page("/jobs/count", LISTING, jobs.count)
        yield self._page("/jobs/many/progress", LISTING, many.progress)
        for act, call in CALLS.items():
            yield self._page(f"/jobs/many/{act}", call, many.ask(act))
            yield self._act(f"/jobs/many/{act}", call, many.begin(act))
        yield self._page(one, SHOWING, job.show)
        yield self._page(f"{one}/stream", f"{SHOWING}/stream", job.stream)
        for do in (job.cancel, job.replay, job.redeliver):
            yield self._act(f"{one}/{do.__name__}", ACTS[do.__name__], do)

    def _domains(self) -> Iterator[Route]:
        domains, one = DomainPages(self._backend, self._pages), "/domains/{domain:path}"
        yield self._page("/domains", f"GET {API}/domains", domains.show)
        yield self._page(one, f"GET {API}/domains", domains.show_one)
        for do in (domains.reset, domains.pause, domains.resume):
            yield self._act(f"{one}/{do.__name__}", f"POST {_DOMAIN}:{do.__name__}", do)
        yield self._act(f"{one}/pace", f"PUT {_DOMAIN}/pace", domains.set_pace)

    def _webhooks_and_regions(self) -> Iterator[Route]:
        webhooks, regions = WebhookPages(self._backend, self._pages), RegionPages(self._backend, self._pages)
        yield self._page("/webhooks", f"GET {API}/webhooks/pending", webhooks.show)
        yield self._act("/webhooks/redeliver", f"POST {API}/webhooks/redeliver", webhooks.redeliver)
        yield self._page("/regions", f"GET {API}/regions", regions.show)
        for do in (regions.drain, regions.undrain):
            call = f"POST {ADMIN}/regions/{{region}}:{do.__name__}"
            yield self._act(f"/regions/{{region}}/{do.__name__}", call, do)

    def _of_operators(self) -> Iterator[Route]:
        keys = KeyPages(self._backend, self._pages)
        yield self._page("/keys", f"GET {ADMIN}/keys", keys.show)
        yield self._act("/keys", f"POST {ADMIN}/keys", keys.create)
        yield self._act("/keys/{key_id}/revoke", f"DELETE {ADMIN}/keys/{{key_id}}", keys.revoke)
        yield self._act("/keys/plan", f"PUT {ADMIN}/customers/{{customer_id}}/plan", keys.set_plan)
        yield self._page("/audit", f"GET {ADMIN}/audit", AuditPage(self._backend, self._pages).show)

    def _page(self, path: str, call: str, show: Handler) -> Route:
        return Route(f"{ROOT}{path}", self._door.page(call, show))

    def _act(self, path: str, call: str, do: Handler) -> Route:
        return Route(f"{ROOT}{path}", self._door.act(call, do), methods=["POST"])
