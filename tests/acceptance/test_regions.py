"""Hedges, and a target's outage, in the real service."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from bench.loopback import Reply, Site

if TYPE_CHECKING:
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

REGIONS = ["iad", "lax", "ord"]
JOBS = 60


def test_a_hedge_goes_on_in_the_next_region_when_the_first_is_late(api: Api, target: Site) -> None:
    api.open_gate(target)
    url = target.script(
        "/hedge", lambda seen: Reply(after_s=60 if seen.headers["x-ezthrottle-region"] == "iad" else 0)
    )

    job = api.run(url=url, regions=REGIONS, execution_mode="hedge")

    assert job["state"] == "success"
    assert {leg["region"]: leg["state"] for leg in job["timeline"]["legs"]} == {
        "iad": "cancelled",
        "lax": "won",
    }


def test_jobs_wait_out_an_outage_and_none_fails(api: Api, target: Site) -> None:
    api.open_gate(target)
    back = threading.Event()
    url = target.script("/outage", lambda _: Reply() if back.is_set() else Reply(status=500))

    ids = [api.submit(url=url, idempotent_key=f"{target.port}-{n}")["job_id"] for n in range(JOBS)]
    shown = wait_for_breakers(api, f":{target.port}")
    assert {way["opened_by"] for way in shown.values()} == {500}
    back.set()

    assert {api.ended(job_id)["state"] for job_id in ids} == {"success"}


def wait_for_breakers(api: Api, target: str) -> dict[str, dict[str, Any]]:
    """Wait until no way to a target is passable, and give them."""
    deadline = time.monotonic() + 30
    while True:
        domains = api.http.get("/api/v1/domains?limit=200").json()["domains"]
        routes: dict[str, dict[str, Any]] = next(
            (domain["regions"] for domain in domains if domain["domain"].endswith(target)), {}
        )
        if len(routes) == len(REGIONS) and all(way["breaker"] != "closed" for way in routes.values()):
            return routes
        assert time.monotonic() < deadline, routes
        time.sleep(0.02)
