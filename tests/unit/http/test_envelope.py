"""The proxy envelope of the published clients: a call of this API, wrapped in another."""

import json
from typing import Any

import httpx
import pytest

from orchestrator.core.submissions.intake import Intake
from orchestrator.domain.errors import OverLimit
from orchestrator.domain.ids import JobId
from tests.unit.domain.builders import ACME
from tests.unit.http.gateway import BETAS_KEY, BOUNDS, JOBS, KEY, SECRETS, TARGET, Gateway, turns

PROXY = "/api/v1/proxy"
ANYWHERE = "https://ezthrottle.example.net"


async def wrapped(gateway: Gateway, **fields: Any) -> httpx.Response:
    envelope = {
        "scope": "customer",
        "metric_name": "",
        "target_url": ANYWHERE + JOBS,
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"url": TARGET}),
    }
    return await gateway.client.post(PROXY, content=json.dumps(envelope | fields))


def forwarded(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    assert response.status_code == 200, response.text
    document = response.json()
    assert document["status"] == "allowed"
    inner = document["forwarded_response"]
    assert set(inner) == {"status_code", "headers", "body"}
    return inner["status_code"], json.loads(inner["body"])


async def test_a_wrapped_submission_is_taken(gateway: Gateway) -> None:
    status, document = forwarded(await wrapped(gateway))
    assert (status, document["status"]) == (201, "queued")
    assert await gateway.store.jobs.load(JobId(document["job_id"])) is not None


async def test_the_content_type_of_the_inner_answer_is_told(gateway: Gateway) -> None:
    response = await wrapped(gateway)
    assert response.json()["forwarded_response"]["headers"] == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ("not json", 400, "malformed-json"),
        ("", 400, "malformed-json"),
        ("{}", 422, "invalid-fields"),
        ('{"url": "http://127.0.0.1/"}', 403, "target-not-allowed"),
    ],
)
async def test_errors_of_the_inner_call_are_forwarded(
    gateway: Gateway, body: str, status: int, slug: str
) -> None:
    inner_status, problem = forwarded(await wrapped(gateway, body=body))
    assert (inner_status, problem["type"]) == (status, f"/problems/{slug}")


async def test_an_inner_body_over_the_limit_is_forwarded_as_413(gateway: Gateway) -> None:
    status, _ = forwarded(await wrapped(gateway, body="x" * (BOUNDS.body_bytes + 1)))
    assert status == 413


async def test_an_envelope_over_its_own_limit_is_413_and_says_where_batches_go(gateway: Gateway) -> None:
    response = await wrapped(gateway, body="x" * (2 * BOUNDS.body_bytes))
    assert response.status_code == 413
    assert "send a large batch to /api/v1/jobs:batch, without an envelope" in response.json()["error"]


async def test_an_envelope_may_be_larger_than_the_body_in_it(gateway: Gateway) -> None:
    body = json.dumps({"url": TARGET, "body": '"' * (BOUNDS.body_bytes // 4)})
    status, _ = forwarded(await wrapped(gateway, body=body))
    assert status == 201


async def test_any_call_of_the_api_can_be_wrapped(gateway: Gateway) -> None:
    secret = {"primary_secret": "0123456789abcdef"}
    created = await wrapped(gateway, target_url=ANYWHERE + SECRETS, body=json.dumps(secret))
    assert forwarded(created)[0] == 200
    shown = await wrapped(gateway, target_url=ANYWHERE + SECRETS, method="GET", body="")
    assert forwarded(shown)[1]["primary_secret"] == "0123****def"
    assert forwarded(await wrapped(gateway, target_url=ANYWHERE + SECRETS, method="DELETE"))[0] == 200


async def test_a_query_reaches_the_inner_call(gateway: Gateway) -> None:
    _, document = forwarded(await wrapped(gateway))
    url = f"{ANYWHERE}{JOBS}/{document['job_id']}?wait=0.01"
    status, shown = forwarded(await wrapped(gateway, target_url=url, method="GET", body=""))
    assert (status, shown["job_id"]) == (200, document["job_id"])


async def test_a_method_is_read_in_any_case(gateway: Gateway) -> None:
    status, _ = forwarded(await wrapped(gateway, target_url=ANYWHERE + JOBS, method="get", body=""))
    assert status == 200


@pytest.mark.parametrize("base", ["http://localhost:8080", "https://evil.example", "http://[::1]", ""])
async def test_whatever_host_is_named_the_service_answers_itself(gateway: Gateway, base: str) -> None:
    assert forwarded(await wrapped(gateway, target_url=base + JOBS))[0] == 201


@pytest.mark.parametrize(
    "target_url",
    [
        "",
        "https://evil.example/",
        "https://evil.example/steal",
        "https://evil.example/api/v2/jobs",
        "https://evil.example/api/v1",
        f"{ANYWHERE}/metrics",
        f"{ANYWHERE}/api/v1/nothing",
        f"{ANYWHERE}/api/v1/jobs/",
        f"{ANYWHERE}/api/v1/jobs/job_1_1/nothing",
        f"{ANYWHERE}/healthz",
        f"{ANYWHERE}/api/v1/../../metrics",
        f"{ANYWHERE}/api/v1/\x00",
        f"{ANYWHERE}/api/v1/jobs?\x7f",
        f"{ANYWHERE}/api/v1/" + "a" * 60_000 + "%41" * 5_000,
        "http://[/api/v1/jobs",
        "file:///etc/passwd",
    ],
)
async def test_what_is_no_path_of_this_api_is_refused(gateway: Gateway, target_url: str) -> None:
    response = await wrapped(gateway, target_url=target_url)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["target_url"]


@pytest.mark.parametrize("path", ["//api/v1/jobs", "/api//v1/jobs", "/api/v1///jobs", "///api//v1//jobs"])
async def test_doubled_slashes_of_a_target_are_read_as_one(gateway: Gateway, path: str) -> None:
    assert forwarded(await wrapped(gateway, target_url=ANYWHERE + path))[0] == 201


async def test_every_inner_202_stands_as_201_and_no_other_status_changes(gateway: Gateway) -> None:
    hook = [{"url": "http://203.0.113.9/hook"}]
    gateway.regions_up()
    status, taken = forwarded(await wrapped(gateway, body=json.dumps({"url": TARGET, "webhooks": hook})))
    assert status == 201
    assert forwarded(await wrapped(gateway, body=json.dumps({"url": TARGET, "webhooks": hook})))[0] == 200
    gateway.answer_attempts()
    await turns()
    job = f"{ANYWHERE}{JOBS}/{taken['job_id']}"
    assert forwarded(await wrapped(gateway, target_url=f"{job}/redeliver", body=""))[0] == 201
    assert forwarded(await wrapped(gateway, target_url=f"{job}/replay", body=""))[0] == 201
    dead = f"{ANYWHERE}/api/v1/webhooks/redeliver"
    assert forwarded(await wrapped(gateway, target_url=dead, body="{}"))[0] == 201
    batch = json.dumps({"jobs": [{"url": TARGET, "body": "another"}, {"url": 5}]})
    status, answered = forwarded(await wrapped(gateway, target_url=f"{ANYWHERE}{JOBS}:batch", body=batch))
    assert (status, [answer["status"] for answer in answered["answers"]]) == (200, ["queued", 422])


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/proxy",
        "//api/v1/proxy",
        "/api/v1//proxy",
        "/api/v1/%2Fproxy",
        "/api/v1/proxy//",
        "/api/v1/proxy/",
        "/api/v1/proxy?a=b",
        "/api/v1/proxy#a",
        "/api/v1/%70roxy",
        "/api/v1/./proxy",
        "/api/v1/jobs/../proxy",
        "/api/v1/jobs/%2e%2e/proxy",
        "/api/v1/proxy%2f",
    ],
)
async def test_an_envelope_in_an_envelope_is_never_opened(gateway: Gateway, path: str) -> None:
    inner = json.dumps({"target_url": ANYWHERE + JOBS, "body": json.dumps({"url": TARGET})})
    await wrapped(gateway, target_url=ANYWHERE + path, body=inner)
    assert await gateway.store.jobs.waiting() == []


async def test_the_customer_is_the_outer_keys_whatever_the_inner_headers_say(gateway: Gateway) -> None:
    inner = {"Authorization": f"Bearer {BETAS_KEY}", "X-Customer": "cust_beta"}
    _, document = forwarded(await wrapped(gateway, headers=inner))
    stored = await gateway.store.jobs.load(JobId(document["job_id"]))
    assert stored is not None
    assert stored.job.customer == ACME


async def test_a_valid_inner_key_does_not_stand_in_for_the_outer_one(gateway: Gateway) -> None:
    envelope = {
        "target_url": ANYWHERE + JOBS,
        "headers": {"Authorization": f"Bearer {KEY}"},
        "body": json.dumps({"url": TARGET}),
    }
    response = await gateway.client.post(PROXY, json=envelope, headers={"authorization": "Bearer wrong"})
    assert response.status_code == 401


async def test_a_key_after_odd_white_space_breaks_nothing(gateway: Gateway) -> None:
    envelope = json.dumps({"target_url": ANYWHERE + JOBS, "body": json.dumps({"url": TARGET})}).encode()
    headers = [(b"authorization", b"Bearer \xa0" + KEY.encode())]
    request = httpx.Request("POST", f"http://service{PROXY}", content=envelope, headers=headers)
    assert (await gateway.client.send(request)).status_code in {200, 401}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"target_url": 1}, "target_url"),
        ({"method": "PUT"}, "method"),
        ({"body": {"url": TARGET}}, "body"),
        ({"headers": {"a": 1}}, "headers.a"),
    ],
)
async def test_an_envelope_that_is_none_is_refused_by_name(
    gateway: Gateway, fields: dict[str, Any], named: str
) -> None:
    response = await wrapped(gateway, **fields)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [named]


async def test_over_a_limit_the_envelope_says_denied_and_until_when(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def over_limit(*args: object) -> object:
        raise OverLimit("too many jobs wait", retry_after_s=7)

    monkeypatch.setattr(Intake, "submit", over_limit)
    response = await wrapped(gateway)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    document = response.json()
    assert (document["status"], document["error"]) == ("denied", "too many jobs wait")
    assert abs(document["retry_at"] - gateway.clock.unix_ms() - 7_000) < 60_000
