"""What operators see and do over HTTP: customers, keys, everybody's jobs, and the audit of it all."""

import json
import logging
from typing import Any

import httpx
import pytest

from tests.unit.http.gateway import BETAS_KEY, JOBS, KEY, OPERATORS_KEY, SECRETS, Gateway
from tests.unit.http.test_domain_acts import NAME
from tests.unit.http.test_jobs import finished, submitted

ADMIN = "/api/v1/admin"


async def ask(gateway: Gateway, call: str, body: Any = None, **query: Any) -> httpx.Response:
    method, path = call.split(" ")
    headers = {"authorization": f"Bearer {OPERATORS_KEY}"}
    return await gateway.client.request(method, f"{ADMIN}/{path}", json=body, params=query, headers=headers)


async def audited(gateway: Gateway, **query: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = (await ask(gateway, "GET audit", **query)).json()["audit"]
    return lines


async def of_beta(gateway: Gateway) -> str:
    headers = {"authorization": f"Bearer {BETAS_KEY}"}
    answer = await gateway.client.post(JOBS, json={"url": "http://203.0.113.8/"}, headers=headers)
    job_id: str = answer.json()["job_id"]
    return job_id


async def test_a_key_is_made_shown_once_used_and_revoked(gateway: Gateway) -> None:
    expires = gateway.clock.unix_ms() + 60_000
    wanted = {"customer_id": "cust_new", "role": "read", "label": "board", "expires_at": expires}
    answer = await ask(gateway, "POST keys", wanted)
    made = answer.json()
    assert (answer.status_code, made["valid"]) == (201, True)
    assert {name: made[name] for name in wanted} == wanted
    own = {"authorization": f"Bearer {made['api_key']}"}
    assert (await gateway.client.get(JOBS, headers=own)).status_code == 200
    listed = (await ask(gateway, "GET keys", customer="cust_new")).json()["keys"]
    assert [key["key_id"] for key in listed] == [made["key_id"]]
    assert listed[0]["last_used_at"] == gateway.clock.unix_ms() // 3_600_000 * 3_600_000
    assert "api_key" not in listed[0]
    gone = await ask(gateway, f"DELETE keys/{made['key_id']}")
    assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
    assert (await ask(gateway, f"DELETE keys/{made['key_id']}")).status_code == 404
    gateway.clock.ahead_s += 2.1
    assert (await gateway.client.get(JOBS, headers=own)).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "customer_id"),
        ({"customer_id": "a b"}, "customer_id"),
        ({"customer_id": "cust_a", "role": "owner"}, "role"),
        ({"customer_id": "cust_a", "label": "a\nb"}, "label"),
        ({"customer_id": "cust_a", "expires_at": 1}, "expires_at"),
        ({"customer_id": "cust_a", "expires": 4_000_000_000_000}, "expires"),
        ({"role": "region"}, "region"),
        ({"role": "region", "region": "A B"}, "region"),
        ({"role": "admin", "region": "fra"}, "region"),
    ],
)
async def test_a_key_that_can_not_be_is_not_made(gateway: Gateway, body: dict[str, Any], field: str) -> None:
    refused = await ask(gateway, "POST keys", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert len(await gateway.store.customers.keys()) == 5
    assert await audited(gateway) == []


@pytest.mark.parametrize("body", [{"role": "admin"}, {"role": "region", "region": "fra"}])
async def test_who_is_no_customer_needs_none_for_a_key(gateway: Gateway, body: dict[str, Any]) -> None:
    assert (await ask(gateway, "POST keys", body)).status_code == 201


async def test_the_audit_says_who_did_what_when_and_from_where(gateway: Gateway) -> None:
    before = gateway.clock.unix_ms()
    made = (await ask(gateway, "POST keys", {"customer_id": "cust_new", "label": "board"})).json()
    await ask(gateway, f"POST domains/{NAME}:pause")
    await ask(gateway, f"DELETE keys/{made['key_id']}")
    revoked, paused, created = await audited(gateway)
    assert [line["act"] for line in (created, paused, revoked)] == [
        "key.created",
        "domain.paused",
        "key.revoked",
    ]
    assert [line["subject"] for line in (created, paused, revoked)] == [made["key_id"], NAME, made["key_id"]]
    for line in (revoked, paused, created):
        who = (line["who"], line["customer_id"], line["from"])
        assert who == ("key of cust_ops", "cust_ops", "127.0.0.1")
        assert before <= line["at"] <= gateway.clock.unix_ms()
    assert (created["detail"]["customer"], created["detail"]["label"]) == ("cust_new", "board")


async def test_an_act_in_an_envelope_came_from_where_the_envelope_did(gateway: Gateway) -> None:
    transport = httpx.ASGITransport(gateway.client._transport.app, client=("192.0.2.9", 4711))  # type: ignore[attr-defined]  # httpx names it so
    envelope = {"target_url": f"http://service{ADMIN}/domains/{NAME}:pause", "method": "POST"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        headers = {"authorization": f"Bearer {OPERATORS_KEY}"}
        answer = await client.post("/api/v1/proxy", json=envelope, headers=headers)
    assert answer.json()["forwarded_response"]["status_code"] == 200
    assert [line["from"] for line in await audited(gateway)] == ["192.0.2.9"]


async def test_no_key_stands_in_the_audit_the_lists_or_the_log(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = (await ask(gateway, "POST keys", {"customer_id": "cust_new"})).json()["api_key"]
    await gateway.client.get(SECRETS, headers={"authorization": f"Bearer {key}"})
    shown = [json.dumps(await audited(gateway)), (await ask(gateway, "GET keys")).text, caplog.text]
    assert not any(key.rsplit("_", 1)[1] in text for text in shown)


async def test_the_audit_goes_on_page_by_page(gateway: Gateway) -> None:
    for _ in range(3):
        await ask(gateway, f"POST domains/{NAME}:pause")
    first = (await ask(gateway, "GET audit", limit=2)).json()
    last = (await ask(gateway, "GET audit", limit=2, cursor=first["next_cursor"])).json()
    numbers = [line["number"] for page in (first, last) for line in page["audit"]]
    assert (numbers, last["next_cursor"]) == (sorted(numbers, reverse=True), None)
    assert len(set(numbers)) == 3
    assert await audited(gateway, until=1) == []


async def test_customers_are_shown_with_their_keys_and_open_jobs(gateway: Gateway) -> None:
    await submitted(gateway)
    found = {each["customer_id"]: each for each in (await ask(gateway, "GET customers")).json()["customers"]}
    assert [*found] == sorted(found)
    # One that submits, and one that reads.
    assert (found["cust_acme"]["valid_keys"], found["cust_acme"]["open_jobs"]) == (2, 1)
    assert (found["cust_beta"]["open_jobs"], found["cust_beta"]["last_used_at"]) == (0, None)
    first = (await ask(gateway, "GET customers", limit=1)).json()
    second = (await ask(gateway, "GET customers", limit=1, cursor=first["next_cursor"])).json()
    assert second["customers"][0]["customer_id"] == sorted(found)[1]
    usage = (await ask(gateway, "GET customers/cust_acme")).json()
    assert (usage["customer_id"], usage["open_jobs"]) == ("cust_acme", 1)
    assert (await ask(gateway, "GET customers/cust_nobody")).status_code == 404


async def test_a_customers_plan_is_changed_for_all_its_keys(gateway: Gateway) -> None:
    answer = await ask(gateway, "PUT customers/cust_acme/plan", {"plan": "gold"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"customer_id": "cust_acme", "plan": "gold", "valid_keys": 2},
    )
    listed = (await ask(gateway, "GET keys", customer="cust_acme")).json()["keys"]
    assert {key["plan"] for key in listed} == {"gold"}
    (line,) = await audited(gateway)
    assert (line["act"], line["subject"], line["detail"]) == (
        "customer.plan_set",
        "cust_acme",
        {"plan": "gold"},
    )


@pytest.mark.parametrize(
    ("customer", "body", "status"),
    [
        ("cust_acme", {"plan": "platinum"}, 422),
        ("cust_acme", {}, 422),
        ("cust_nobody", {"plan": "gold"}, 404),
        ("a%20b", {"plan": "gold"}, 422),
    ],
)
async def test_a_plan_that_is_none_or_nobodys_changes_nothing(
    gateway: Gateway, customer: str, body: dict[str, str], status: int
) -> None:
    assert (await ask(gateway, f"PUT customers/{customer}/plan", body)).status_code == status
    assert {key.plan for key in await gateway.store.customers.keys()} == {"pro"}
    assert await audited(gateway) == []


async def test_keys_are_listed_page_by_page(gateway: Gateway) -> None:
    whole = [key["key_id"] for key in (await ask(gateway, "GET keys")).json()["keys"]]
    pages, cursor = [], ""
    while cursor is not None:
        page = (await ask(gateway, "GET keys", limit=2, cursor=cursor)).json()
        pages += [key["key_id"] for key in page["keys"]]
        cursor = page["next_cursor"]
    assert pages == whole
    assert len(set(whole)) == 5


async def test_jobs_of_all_customers_are_listed_the_newest_first(gateway: Gateway) -> None:
    mine = await submitted(gateway)
    gateway.clock.ahead_s += 1
    theirs = await of_beta(gateway)
    listed = (await ask(gateway, "GET jobs")).json()["jobs"]
    assert [(job["job_id"], job["customer_id"]) for job in listed] == [
        (theirs, "cust_beta"),
        (mine, "cust_acme"),
    ]
    one = (await ask(gateway, "GET jobs", customer="cust_beta")).json()["jobs"]
    assert [job["job_id"] for job in one] == [theirs]
    first = (await ask(gateway, "GET jobs", limit=1)).json()
    rest = (await ask(gateway, "GET jobs", limit=1, cursor=first["next_cursor"])).json()
    assert ([job["job_id"] for job in rest["jobs"]], rest["next_cursor"]) == ([mine], None)


async def test_a_key_of_a_job_is_asked_for_with_its_customer(gateway: Gateway) -> None:
    job_id = await submitted(gateway, idempotent_key="mine")
    refused = await ask(gateway, "GET jobs", idempotent_key="mine")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "idempotent_key")
    found = await ask(gateway, "GET jobs", idempotent_key="mine", customer="cust_acme")
    assert [job["job_id"] for job in found.json()["jobs"]] == [job_id]


async def test_an_operator_sees_cancels_replays_and_redelivers_anybodys_job_and_that_is_in_the_audit(
    gateway: Gateway,
) -> None:
    waiting = await submitted(gateway, body="s3nt", method="POST")
    shown = await ask(gateway, f"GET jobs/{waiting}", include="body")
    assert (shown.status_code, shown.json()["request"]["body"]) == (200, "s3nt")
    assert (await ask(gateway, f"DELETE jobs/{waiting}")).json()["status"] == "cancelled"
    assert (await ask(gateway, f"DELETE jobs/{waiting}")).status_code == 409
    ended = await finished(gateway, webhooks=[{"url": "http://203.0.113.9/hook"}])
    again = await ask(gateway, f"POST jobs/{ended}/replay")
    assert again.status_code == 202
    # The new job is its customer's.
    own = {"authorization": f"Bearer {KEY}"}
    assert (await gateway.client.get(f"{JOBS}/{again.json()['job_id']}", headers=own)).status_code == 200
    assert (await ask(gateway, f"POST jobs/{ended}/redeliver")).status_code == 202
    told = [(line["act"], line["subject"], line["detail"]["customer"]) for line in await audited(gateway)]
    # What was asked for in vain stands there too: an entry is written before its act.
    assert told == [
        ("job.redelivered", ended, "cust_acme"),
        ("job.replayed", ended, "cust_acme"),
        ("job.cancelled", waiting, "cust_acme"),
        ("job.cancelled", waiting, "cust_acme"),
    ]


@pytest.mark.parametrize("call", ["GET jobs/job_1_1", "DELETE jobs/job_1_1", "POST jobs/job_1_1/replay"])
async def test_a_job_that_is_not_there_is_404_and_in_no_audit(gateway: Gateway, call: str) -> None:
    assert (await ask(gateway, call)).status_code == 404
    assert await audited(gateway) == []


async def test_a_region_is_drained_shown_so_to_everybody_and_let_back(gateway: Gateway) -> None:
    gateway.regions_up()
    before = gateway.clock.unix_ms()
    drained = (await ask(gateway, "POST regions/iad:drain")).json()["regions"][0]
    assert (drained["region"], drained["health"], "drains" in drained["reason"]) == ("iad", "up", True)
    assert before <= drained["draining_since"] <= gateway.clock.unix_ms()
    shown = (await gateway.client.get("/api/v1/regions")).json()["regions"][0]
    assert (shown["draining_since"], shown["reason"]) == (drained["draining_since"], drained["reason"])
    for other in ("lax", "ord"):
        await ask(gateway, f"POST regions/{other}:drain")
    ready = await gateway.client.get("/readyz")
    assert (ready.status_code, "iad: it drains" in ready.json()["detail"]) == (503, True)
    back = (await ask(gateway, "POST regions/iad:undrain")).json()["regions"][0]
    assert (back["draining_since"], back["reason"]) == (None, None)
    assert (await gateway.client.get("/readyz")).json()["regions"] == ["iad"]
    assert (await ask(gateway, "GET regions")).json()["regions"][0]["draining_since"] is None


async def test_a_region_that_is_not_there_is_404(gateway: Gateway) -> None:
    assert (await ask(gateway, "POST regions/atlantis:drain")).status_code == 404
    assert await audited(gateway) == []
