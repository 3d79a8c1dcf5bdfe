"""The calls about usage, regions and domains, and what an operator does to a domain."""

from orchestrator.adapters.http.access import ADMIN, API
from orchestrator.adapters.http.backend import Backend, paged
from orchestrator.adapters.http.calls.fields import PAGE
from orchestrator.adapters.http.domain_routes import DomainRoutes
from orchestrator.adapters.http.openapi import Calls
from orchestrator.adapters.http.overview_routes import OverviewRoutes
from orchestrator.adapters.http.schema import PaceIn


def add_overviews(calls: Calls, backend: Backend) -> None:
    """Add what is shown of usage and regions, and what is shown of domains and done to them."""
    overview, domains = OverviewRoutes(backend), DomainRoutes(backend)
    calls.add(f"GET {API}/usage", overview.usage)
    calls.add(f"GET {ADMIN}/usage", overview.usage_of_all, query={"limit": PAGE["limit"]})
    calls.add(f"GET {API}/regions", overview.regions)
    for prefix in (API, ADMIN):
        calls.add(f"GET {prefix}/domains", paged(backend, overview.domains), query=PAGE)
        one = f"{prefix}/domains/{{domain:path}}"
        for act in (domains.reset, domains.pause, domains.resume):
            calls.add(f"POST {one}:{act.__name__}", act, errors=(404,))
        calls.add(f"PUT {one}/pace", domains.set_pace, body=PaceIn, errors=(404,))
