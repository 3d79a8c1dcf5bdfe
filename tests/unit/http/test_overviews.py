"""What was used, which regions are up, how the targets stand."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETAS_KEY, BOUNDS, JOBS, TARGET, Gateway, running_gateway
from tests.unit.http.test_batches import batch
from tests.unit.http.test_jobs import finished, submitted

THEIRS = {"authorization": f"Bearer {BETAS_KEY}"}


async def seen(gateway: Gateway, what: str, **headers: str) -> dict[str, Any]:
    response = await gateway.client.get(f"/api/v1/{what}", headers=headers)
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


async def test_usage_counts_what_a_customer_did(gateway: Gateway) -> None:
    await finished(gateway)
    await finished(gateway, status=404, body="2")
    await gateway.client.delete(f"{JOBS}/{await submitted(gateway, body='3')}")
    await submitted(gateway, body="4")
    usage = await seen(gateway, "usage")
    assert (usage["customer_id"], usage["open_jobs"]) == (ACME, 1)
    (today,) = usage["days"]
    counts = {name: today[name] for name in ("accepted", "success", "failed", "cancelled", "attempts")}
    assert counts == {"accepted": 4, "success": 1, "failed": 1, "cancelled": 1, "attempts": 2}
    assert (await seen(gateway, "usage", **THEIRS))["days"] == []


async def test_what_was_saved_and_what_was_not_yet_are_added(gateway: Gateway) -> None:
    await submitted(gateway, body="1")
    gateway.shard.ledger.save()
    await submitted(gateway, body="2")
    assert [day["accepted"] for day in (await seen(gateway, "usage"))["days"]] == [2]


async def test_regions_tell_their_health_and_speed(gateway: Gateway) -> None:
    before = await seen(gateway, "regions")
    assert {region["region"]: region["health"] for region in before["regions"]} == {
        "iad": "down",
        "lax": "down",
        "ord": "down",
    }
    await finished(gateway)
    after = await seen(gateway, "regions")
    assert after["default_region"] == "iad"
    iad, lax, _ = after["regions"]
    assert (iad["health"], lax["mean_attempt_s"]) == ("up", None)
    assert iad["mean_attempt_s"] >= 0.0


async def test_domains_tell_pace_queue_and_ways(gateway: Gateway) -> None:
    await finished(gateway)
    for number in range(5):
        await submitted(gateway, body=str(number))
    document = await seen(gateway, "domains")
    (domain,) = document["domains"]
    assert domain["domain"] == "203.0.113.7"
    assert domain["pace"] == {"rps": 2.0, "max_concurrent": 2, "set_by": "default"}
    assert domain["in_flight"] + domain["waiting"] == 5
    assert domain["waiting_yours"] == domain["waiting"]
    assert domain["regions"]["iad"]["breaker"] == "closed"


async def test_a_target_that_only_others_call_is_not_shown(gateway: Gateway) -> None:
    await submitted(gateway)
    assert (await seen(gateway, "domains", **THEIRS))["domains"] == []


@pytest.mark.parametrize("what", ["usage", "regions", "domains"])
async def test_overviews_need_a_key(gateway: Gateway, what: str) -> None:
    assert (await gateway.client.get(f"/api/v1/{what}", headers={"authorization": ""})).status_code == 401


async def test_a_customer_may_have_only_so_many_open_jobs() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=3)):
        answers = await batch(gateway, *({"url": TARGET, "body": str(n)} for n in range(5)))
        assert [answer["status"] for answer in answers] == ["queued", "queued", "queued", 429, 429]
        refused = await gateway.submit(body="6")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        assert refused.json()["type"] == "/problems/over-limit"
        others = await gateway.client.post(JOBS, json={"url": TARGET}, headers=THEIRS)
        assert others.status_code == 202
        await gateway.client.delete(f"{JOBS}/{answers[0]['job_id']}")
        assert (await gateway.submit(body="7")).status_code == 202


async def test_over_the_limit_an_envelope_is_denied() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=0)):
        envelope = {"target_url": f"https://any.example{JOBS}", "body": f'{{"url": "{TARGET}"}}'}
        response = await gateway.client.post("/api/v1/proxy", json=envelope)
        assert (response.status_code, response.json()["status"]) == (429, "denied")
        assert response.json()["retry_at"] > gateway.clock.unix_ms()
        assert response.headers["retry-after"] == "10"
