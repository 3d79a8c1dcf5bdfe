"""Every route under /api/v1 refuses what it does not know in its query."""

import itertools
from typing import Any

import pytest

from tests.unit.http.gateway import BETAS_KEY, JOBS, OPERATORS_KEY, TARGET, Gateway
from tests.unit.http.test_roles import IN_PATHS

FILTERS: list[tuple[dict[str, str], str]] = [
    ({"state": "queued,lost"}, "state"),
    ({"state": "queued,"}, "state"),
    ({"domain": "a b"}, "domain"),
    ({"domain": "http://["}, "domain"),
    ({"delivery": "gone"}, "delivery"),
    ({"code": "503"}, "code"),
    ({"since": "yesterday"}, "since"),
    ({"until": "-1"}, "until"),
    ({"idempotent_key": "k" * 513}, "idempotent_key"),
    ({"stat": "failed"}, "stat"),
    ({"State": "failed"}, "State"),
    ({"": "x"}, ""),
]


async def test_no_route_ignores_a_parameter_that_it_does_not_know(gateway: Gateway) -> None:
    described = (await gateway.client.get("/openapi.json")).json()["paths"]
    asked = [
        (method, path.format(**IN_PATHS, domain="a.example"))
        for path, methods in described.items()
        if path.startswith("/api/v1")
        for method in methods
    ]
    assert len(asked) >= 25
    for method, path in asked:
        headers = {"authorization": f"Bearer {OPERATORS_KEY}"}
        response = await gateway.client.request(
            method, path, params={"stat": "failed"}, content="{}", headers=headers
        )
        assert response.status_code == 422, (method, path)
        assert [error["field"] for error in response.json()["errors"]] == ["stat"]


async def test_a_parameter_that_is_given_twice_is_named(gateway: Gateway) -> None:
    response = await gateway.client.get(f"{JOBS}?state=failed&state=success&limit=1")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "state")


@pytest.mark.parametrize(("query", "field"), FILTERS)
async def test_a_filter_that_is_wrong_is_named(gateway: Gateway, query: dict[str, str], field: str) -> None:
    response = await gateway.client.get(JOBS, params=query)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


async def test_filters_choose_together(gateway: Gateway) -> None:
    made: dict[tuple[str, str], str] = {}
    for url, state in itertools.product((TARGET, "https://other.example:8443/"), ("queued", "cancelled")):
        job = (await gateway.submit(url=url, idempotent_key=f"{url} {state}")).json()
        made[url, state] = job["job_id"]
        if state == "cancelled":
            await gateway.client.delete(f"{JOBS}/{job['job_id']}")

    async def found(**query: Any) -> set[str]:
        return {job["job_id"] for job in (await gateway.client.get(JOBS, params=query)).json()["jobs"]}

    assert await found(state="queued,cancelled") == {*made.values()}
    assert await found(domain="OTHER.example:8443", state="queued") == {
        made["https://other.example:8443/", "queued"]
    }
    assert await found(domain="http://203.0.113.7/x") == {made[TARGET, "queued"], made[TARGET, "cancelled"]}
    assert await found(code="cancelled", domain="203.0.113.7:80") == {made[TARGET, "cancelled"]}
    assert await found(idempotent_key=f"{TARGET} queued") == {made[TARGET, "queued"]}
    assert await found(delivery="none", state="cancelled", domain="203.0.113.7:80") == {
        made[TARGET, "cancelled"]
    }
    assert await found(until="1") == set()
    theirs = {"authorization": f"Bearer {BETAS_KEY}"}
    assert (await gateway.client.get(JOBS, params={"state": "queued"}, headers=theirs)).json()["jobs"] == []


async def test_a_query_outside_of_the_api_is_nobodys_business(gateway: Gateway) -> None:
    assert (await gateway.client.get("/healthz?probe=7")).status_code == 200
