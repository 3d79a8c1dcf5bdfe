"""What was used, which regions are up, how the targets stand."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.store import Accepted, Duplicate, StoreFailure
from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETAS_KEY, BOUNDS, JOBS, KEY, TARGET, Gateway, running_gateway, turns
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
    gateway.shard.jobs.ledger.save()
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
    assert domain["domain"] == "203.0.113.7:80"
    assert domain["pace"] == {"rps": 2.0, "max_concurrent": 2, "set_by": "default"}
    assert domain["in_flight"] + domain["waiting"] == 5
    assert domain["waiting_yours"] == domain["waiting"]
    assert domain["regions"]["iad"]["breaker"] == "closed"


async def test_a_target_that_only_others_call_is_not_shown(gateway: Gateway) -> None:
    await submitted(gateway)
    assert (await seen(gateway, "domains", **THEIRS))["domains"] == []


async def the_domain(gateway: Gateway, **headers: str) -> dict[str, Any]:
    (domain,) = (await seen(gateway, "domains", **headers))["domains"]
    assert isinstance(domain, dict)
    return domain


async def answered(
    gateway: Gateway, status: int, key: str = KEY, *, job: dict[str, Any], **said: str
) -> None:
    """Let a customer's job be answered so."""
    gateway.regions_up()
    document = {"url": TARGET} | job
    sent = await gateway.client.post(JOBS, json=document, headers={"authorization": f"Bearer {key}"})
    assert sent.status_code == 202
    assert gateway.answer_attempts(status, **said) == 1
    await turns()


async def test_a_pace_that_the_target_told_is_shown_with_its_header_and_end(gateway: Gateway) -> None:
    await answered(gateway, 200, job={}, x_ezthrottle_rps="1")
    domain = await the_domain(gateway)
    assert domain["pace"] == {"rps": 1.0, "max_concurrent": 2, "set_by": "target"}
    (signal,) = domain["signals"]
    left_s = (signal.pop("until") - gateway.clock.unix_ms()) / 1000
    assert 50 < left_s <= 60
    assert signal == {
        "kind": "pace",
        "source": "x-ezthrottle-rps",
        "binds": "domain",
        "account": None,
        "rps": 1.0,
        "max_concurrent": 2,
        "unit": None,
        "remaining": None,
    }
    gateway.clock.ahead_s += 61
    over = await the_domain(gateway)
    assert (over["pace"]["set_by"], [s["binds"] for s in over["signals"]]) == ("default", [])


async def test_a_pause_and_a_rate_found_by_trying_are_shown(gateway: Gateway) -> None:
    await answered(gateway, 503, job={}, retry_after="40")
    domain = await the_domain(gateway)
    (pause,) = domain["signals"]
    assert (pause["kind"], pause["source"], pause["binds"]) == ("pause", "retry-after", "domain")
    assert domain["paused_until"] == pause["until"]
    assert 30_000 < domain["paused_until"] - gateway.clock.unix_ms() <= 40_000


async def test_refusals_without_a_word_show_the_rate_that_they_led_to(gateway: Gateway) -> None:
    await answered(gateway, 429, job={})
    (slowed,) = (await the_domain(gateway))["signals"]
    assert (slowed["kind"], slowed["source"], slowed["until"]) == ("slowed", "429 or 503", None)
    assert 0 < slowed["rps"] <= 2.0


async def test_an_accounts_signals_are_shown_to_its_own_customer_alone(gateway: Gateway) -> None:
    mine = {"headers": {"authorization": "Bearer of-mine"}}
    budget = {"x_ratelimit_limit": "100", "x_ratelimit_remaining": "7", "x_ratelimit_reset": "30"}
    await answered(gateway, 200, job=mine, **budget)
    gateway.clock.ahead_s += 2.0
    await answered(gateway, 200, BETAS_KEY, job={"body": "theirs"})
    (signal,) = (await the_domain(gateway))["signals"]
    shown = {name: signal[name] for name in ("kind", "source", "binds", "unit")}
    assert shown == {"kind": "budget", "source": "x-ratelimit-limit", "binds": "account", "unit": "requests"}
    assert (len(signal["account"]), signal["remaining"] <= 7) == (12, True)
    assert "of-mine" not in str(signal)
    assert (await the_domain(gateway, **THEIRS))["signals"] == []


async def test_domains_come_in_pages(gateway: Gateway) -> None:
    for number in range(5):
        await submitted(gateway, url=f"http://203.0.113.{number}/")
    names, query = [], "?limit=2"
    while query:
        page = await seen(gateway, f"domains{query}")
        assert len(page["domains"]) <= 2
        names += [domain["domain"] for domain in page["domains"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert names == [f"203.0.113.{number}:80" for number in range(5)]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=!", "cursor=%ff"])
async def test_a_wrong_page_of_domains_is_refused(gateway: Gateway, query: str) -> None:
    response = await gateway.client.get(f"/api/v1/domains?{query}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, query.partition("=")[0])


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


async def test_jobs_that_come_at_once_are_no_more_than_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = MemoryJobs.submit

    async def later(store: MemoryJobs, job: Job) -> Accepted | Duplicate:
        await turns()
        return await at_once(store, job)

    monkeypatch.setattr(MemoryJobs, "submit", later)
    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=5)):
        answers = await asyncio.gather(*(gateway.submit(body=str(n)) for n in range(50)))
        assert Counter(answer.status_code for answer in answers) == {202: 5, 429: 45}
        await gateway.client.delete(f"{JOBS}/{answers[0].json()['job_id']}")
        assert (await gateway.submit(body="one more")).status_code == 202


async def test_a_known_key_is_a_duplicate_at_the_limit_too() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=2)):
        first = await gateway.submit(body="1")
        assert (await gateway.submit(body="1")).status_code == 200
        assert (await gateway.submit(body="2")).status_code == 202
        again = await gateway.submit(body="1")
        assert (again.status_code, again.json()["job_id"]) == (200, first.json()["job_id"])
        bodies = ("2", "3", "1")
        answers = await batch(gateway, *({"url": TARGET, "body": body} for body in bodies))
        assert [answer["status"] for answer in answers] == ["duplicate", 429, "duplicate"]


async def test_a_key_that_stands_twice_in_a_batch_takes_one_place() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=2)):
        answers = await batch(gateway, *({"url": TARGET, "body": body} for body in ("1", "1", "2", "3", "2")))
        assert [answer["status"] for answer in answers] == ["queued", "duplicate", "queued", 429, "duplicate"]


async def test_what_could_not_be_stored_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise StoreFailure("database or disk is full")

    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=1)):
        with monkeypatch.context() as patched:
            patched.setattr(MemoryJobs, "submit", full)
            patched.setattr(MemoryJobs, "submit_many", full)
            assert (await gateway.submit()).status_code == 503
            (answer,) = await batch(gateway, {"url": TARGET})
            assert answer["status"] == 503
            patched.setattr(MemoryJobs, "duplicates_of", full)
            answers = await batch(gateway, {"url": TARGET}, {"url": TARGET, "body": "2"}, {"url": 7})
            assert [answer["status"] for answer in answers] == [503, 503, 422]
        assert (await gateway.submit()).status_code == 202


async def test_over_the_limit_an_envelope_is_denied() -> None:
    async for gateway in running_gateway(bounds=replace(BOUNDS, open_jobs=0)):
        envelope = {"target_url": f"https://any.example{JOBS}", "body": f'{{"url": "{TARGET}"}}'}
        response = await gateway.client.post("/api/v1/proxy", json=envelope)
        assert (response.status_code, response.json()["status"]) == (429, "denied")
        assert response.json()["retry_at"] > gateway.clock.unix_ms()
        assert response.headers["retry-after"] == "10"
