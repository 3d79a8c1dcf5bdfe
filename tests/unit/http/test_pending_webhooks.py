"""Webhooks that fail now: whom they go to, how many, and why."""

from typing import Any

import pytest

from tests.unit.http.gateway import BETAS_KEY, Gateway
from tests.unit.http.test_redelivery import answer_deliveries, ended

PENDING = "/api/v1/webhooks/pending"


async def pending(gateway: Gateway, **query: Any) -> dict[str, Any]:
    response = await gateway.client.get(PENDING, params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_what_hangs_is_listed_before_anything_has_failed(gateway: Gateway) -> None:
    job_id = await ended(gateway)
    told = await pending(gateway)
    assert [(each["endpoint"], each["deliveries"], each["failing"]) for each in told["endpoints"]] == [
        ("203.0.113.7:80", 1, 0),
        ("203.0.113.8:8443", 1, 0),
    ]
    assert [(each["job_id"], each["attempts"]) for each in told["deliveries"]] == [(job_id, 0)] * 2
    assert told["deliveries"][0]["error"] is None


async def test_the_last_reason_stands_with_the_endpoint_and_with_each_delivery(gateway: Gateway) -> None:
    job_id = await ended(gateway)
    await answer_deliveries(gateway, 503, 2)
    told = await pending(gateway, endpoint="http://203.0.113.7/")
    [endpoint], [delivery] = told["endpoints"], told["deliveries"]
    assert endpoint == {
        "endpoint": "203.0.113.7:80",
        "deliveries": 1,
        "failing": 1,
        "next_at": delivery["next_at"],
        "last_attempt_at": endpoint["last_attempt_at"],
        "status_code": 503,
        "error": None,
    }
    assert delivery["next_at"] > endpoint["last_attempt_at"] >= delivery["first_at"]
    assert (delivery["job_id"], delivery["attempts"], delivery["status_code"]) == (job_id, 1, 503)


async def test_what_was_taken_or_failed_for_good_is_pending_no_more(gateway: Gateway) -> None:
    await ended(gateway)
    await answer_deliveries(gateway, 200, 2)
    assert await pending(gateway) == {"endpoints": [], "deliveries": [], "next_cursor": None}


async def test_a_cursor_leads_through_all_of_them_once(gateway: Gateway) -> None:
    urls = [f"http://203.0.113.{host}/{number}" for number in range(2) for host in (9, 1, 4)]
    await ended(gateway, hooks=[{"url": url} for url in urls])
    seen, query = [], {"limit": "2"}
    while True:
        page = await pending(gateway, **query)
        seen += [(each["endpoint"], each["webhook_id"]) for each in page["deliveries"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == sorted(seen)
    assert len({*seen}) == len(seen) == 6


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"endpoint": "a b"}, "endpoint"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"since": "1"}, "since"),
    ],
)
async def test_a_query_that_is_wrong_is_named(gateway: Gateway, query: dict[str, str], field: str) -> None:
    response = await gateway.client.get(PENDING, params=query)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


async def test_others_webhooks_are_not_shown(gateway: Gateway) -> None:
    await ended(gateway)
    response = await gateway.client.get(PENDING, headers={"authorization": f"Bearer {BETAS_KEY}"})
    assert response.json() == {"endpoints": [], "deliveries": [], "next_cursor": None}
    assert (await gateway.client.get(PENDING, headers={"authorization": ""})).status_code == 401
