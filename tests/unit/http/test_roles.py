"""What a key of each role may call, and that a reader is shown no bodies, wherever they come out."""

import json
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.adapters.http.access import ANYBODY, READERS, ROLES
from orchestrator.adapters.http.app import make_app
from orchestrator.adapters.http.openapi import ROLES_FIELD, Calls
from orchestrator.adapters.http.readers import view_without_bodies
from orchestrator.adapters.http.secret_routes import SecretRoutes
from orchestrator.core.views import JobRemains
from orchestrator.domain.access.roles import Role
from orchestrator.domain.ids import JobId
from tests.unit.http.gateway import (
    BETA,
    JOBS,
    KEY,
    OPERATORS_KEY,
    READERS_KEY,
    REGIONS_KEY,
    Gateway,
)
from tests.unit.http.test_jobs import finished, submitted
from tests.unit.http.test_large_results import large_job
from tests.unit.http.test_stream import opened, served

SENT, ANSWERED = "what-was-sent", "what-came-back"
KEYS = {
    Role.SUBMIT: KEY,
    Role.READ: READERS_KEY,
    Role.ADMIN: OPERATORS_KEY,
    Role.REGION: REGIONS_KEY,
}
IN_PATHS = {"job_id": "job_1_1", "key_id": "abc", "customer_id": "cust_acme", "region": "iad"}
HIDDEN = {"GET /openapi.json", "GET /docs", "HEAD /openapi.json", "GET /problems", "GET /problems/{slug}"}
"""Routes that describe the others."""


def by_role(role: Role) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[role]}"}


def routes_of(gateway: Gateway) -> Iterator[str]:
    for route in make_app(gateway.backend).routes:
        methods = getattr(route, "methods", None) or ()
        yield from (f"{method} {getattr(route, 'path', '')}" for method in methods)


def as_called(call: str) -> tuple[str, str]:
    method, path = call.split(" ")
    return method, path.replace("{domain:path}", "a.example").format(**IN_PATHS)


async def test_every_route_of_the_app_has_its_roles_and_each_role_has_its_route(gateway: Gateway) -> None:
    assert {*routes_of(gateway)} - HIDDEN == {*ROLES}


async def test_the_description_names_the_same_roles(gateway: Gateway) -> None:
    described = (await gateway.client.get("/openapi.json")).json()["paths"]
    told = {
        f"{method.upper()} {path}": operation.get(ROLES_FIELD, [])
        for path, methods in described.items()
        for method, operation in methods.items()
    }
    assert told == {call.replace(":path}", "}"): sorted(roles) for call, roles in ROLES.items()}


async def test_a_route_without_roles_can_not_be_added(gateway: Gateway) -> None:
    calls = Calls(FastAPI(), gateway.backend.keys)
    with pytest.raises(KeyError):
        calls.add("GET /api/v1/new", SecretRoutes(gateway.backend).show)


@pytest.mark.parametrize("call", sorted(call for call, roles in ROLES.items() if roles != ANYBODY))
async def test_who_has_none_of_a_routes_roles_is_refused_before_anything_else(
    gateway: Gateway, call: str
) -> None:
    method, path = as_called(call)
    for role in Role:
        refused = await gateway.client.request(
            method, path, headers=by_role(role), content=b"not json", params={"unknown": "1"}
        )
        if role in ROLES[call]:
            assert refused.status_code == 422, role
        else:
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-permitted")
    nobody = await gateway.client.request(method, path, headers={"authorization": "Bearer ck_live_x_y"})
    assert nobody.status_code == 401


def test_a_reader_may_look_and_changes_nothing() -> None:
    for call, roles in ROLES.items():
        changes = not call.startswith("GET ") and call != "POST /api/v1/proxy"
        assert (Role.READ in roles) <= (not changes), call
        assert Role.REGION not in roles


async def asked(gateway: Gateway, role: Role, path: str, **query: str) -> httpx.Response:
    return await gateway.client.get(path, headers=by_role(role), params=query)


async def a_finished_job(gateway: Gateway, **fields: object) -> str:
    gateway.regions_up()
    fields = {"method": "POST", "body": SENT, "metadata": {"order": 7}} | fields
    job_id = await submitted(gateway, **fields)
    assert gateway.answer_attempts(body=ANSWERED.encode()) > 0
    await gateway.client.get(f"{JOBS}/{job_id}", params={"wait": "60"})
    return job_id


async def test_a_reader_sees_a_job_without_its_bodies(gateway: Gateway) -> None:
    job_id = await a_finished_job(gateway)
    whole = (await asked(gateway, Role.SUBMIT, f"{JOBS}/{job_id}")).json()
    read = (await asked(gateway, Role.READ, f"{JOBS}/{job_id}")).json()
    assert whole["result"]["response"].pop("body") == ANSWERED
    assert read == whole


async def test_a_reader_who_waits_for_the_end_sees_no_body_either(gateway: Gateway) -> None:
    job_id = await a_finished_job(gateway)
    waited = await asked(gateway, Role.READ, f"{JOBS}/{job_id}", wait="5")
    assert (waited.json()["state"], ANSWERED in waited.text) == ("success", False)


async def test_a_reader_who_asks_for_bodies_is_refused(gateway: Gateway) -> None:
    job_id = await a_finished_job(gateway)
    refused = await asked(gateway, Role.READ, f"{JOBS}/{job_id}", include="body")
    assert (refused.status_code, SENT in refused.text) == (403, False)
    shown = await asked(gateway, Role.SUBMIT, f"{JOBS}/{job_id}", include="body")
    assert shown.json()["request"]["body"] == SENT


async def test_a_reader_of_a_fan_out_sees_none_of_its_answers_bodies(gateway: Gateway) -> None:
    fields = {"execution_mode": "fanout", "regions": ["iad", "lax"], "method": "GET", "body": None}
    job_id = await a_finished_job(gateway, **fields)
    read = await asked(gateway, Role.READ, f"{JOBS}/{job_id}")
    answers = read.json()["result"]["responses"]
    assert {region: answer["status_code"] for region, answer in answers.items()} == {"iad": 200, "lax": 200}
    assert ANSWERED not in read.text


async def test_a_reader_of_a_large_result_sees_all_but_its_body(gateway: Gateway) -> None:
    job_id = await large_job(gateway)
    read = (await asked(gateway, Role.READ, f"{JOBS}/{job_id}")).json()["result"]["response"]
    assert (read["status_code"], read["headers"]["x-from"], "body" in read) == (200, "target", False)
    assert gateway.backend.results.bytes_held == 0


async def test_a_reader_sees_what_is_left_of_a_damaged_job_without_its_body(gateway: Gateway) -> None:
    job_id = await finished(gateway)
    summary = await gateway.store.history.summary(JobId(job_id), gateway.clock.unix_ms())
    assert summary is not None
    result = json.dumps({"status": "failed", "response": {"status_code": 500, "body": ANSWERED}}).encode()
    remains = JobRemains(summary=summary, damaged=True, result=result)
    shown = await view_without_bodies(gateway.backend.results, remains)
    assert isinstance(shown, JobRemains)
    assert shown.result == b'{"status":"failed","response":{"status_code":500}}'


@pytest.mark.parametrize("large", [False, True])
async def test_a_reader_of_the_stream_sees_no_body(gateway: Gateway, *, large: bool) -> None:
    job_id = await large_job(gateway) if large else await a_finished_job(gateway)
    async with (
        served(gateway) as address,
        opened(address, job_id, authorization=f"Bearer {READERS_KEY}") as stream,
    ):
        events = await stream.rest()
    assert (events[-1].name, events[-1].data["result"]["response"]["status_code"]) == ("completed", 200)
    assert not any("body" in json.dumps(event.data) for event in events)


async def test_no_list_or_overview_shows_a_reader_a_body(gateway: Gateway) -> None:
    await a_finished_job(gateway, webhooks=[{"url": "http://203.0.113.9/hook"}])
    for call, roles in ROLES.items():
        if roles == READERS and call.startswith("GET ") and "{job_id}" not in call:
            read = await asked(gateway, Role.READ, call.removeprefix("GET "))
            assert SENT not in read.text, call
            assert ANSWERED not in read.text, call


async def test_an_envelope_lets_a_reader_do_what_he_may_do_without_it(gateway: Gateway) -> None:
    job_id = await a_finished_job(gateway)
    told = {}
    for method, path in (("GET", f"{JOBS}/{job_id}"), ("POST", JOBS), ("DELETE", f"{JOBS}/{job_id}")):
        envelope = {"target_url": f"http://service{path}", "method": method, "body": "{}"}
        answer = await gateway.client.post("/api/v1/proxy", json=envelope, headers=by_role(Role.READ))
        inner = answer.json()["forwarded_response"]
        told[method] = inner["status_code"]
        assert ANSWERED not in inner["body"]
    assert told == {"GET": 200, "POST": 403, "DELETE": 403}


async def test_a_reader_sees_nothing_of_other_customers(gateway: Gateway) -> None:
    gateway.store.customers.know("ck_live_cust_beta_reader", BETA, role=Role.READ)
    job_id = await finished(gateway)
    headers = {"authorization": "Bearer ck_live_cust_beta_reader"}
    assert (await gateway.client.get(f"{JOBS}/{job_id}", headers=headers)).status_code == 404
