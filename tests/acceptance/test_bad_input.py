"""What the service refuses, and how it says so."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bench.ports import fresh_listener
from tests.acceptance.conftest import customer_of

if TYPE_CHECKING:
    from bench.loopback import Site
    from bench.service import Service
    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

URL = "http://127.0.0.1:9/"
NOT_STRICT_JSON = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b'{"url": "http://127.0.0.1:9/"} x',
    b'{"url": "http://127.0.0.1:9/", "cost": NaN}',
    b'{"url": "http://127.0.0.1:9/", "cost": 1e400}',
    b'{"url": "http://127.0.0.1:9/", "url": "http://127.0.0.1:9/"}',
    b'{"url": "http://127.0.0.1:9/", "body": "\\ud800"}',
    b'{"url": "http://127.0.0.1:9/", "body": "\xff"}',
    b'{"url": "http://127.0.0.1:9/", "metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
]
INVALID_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("url", {"url": "ftp://127.0.0.1/"}),
    ("url", {"url": "http://"}),
    ("url", {"url": "not a url"}),
    ("url", {"url": 7}),
    ("method", {"method": "BREW"}),
    ("headers", {"headers": {"Connection": "close"}}),
    ("headers", {"headers": {"Host": "example.com"}}),
    ("headers", {"headers": {"Content-Length": "3"}}),
    ("headers", {"headers": {"X-Split": "a\r\nX-Injected: b"}}),
    ("headers", {"headers": {"X-Number": 1}}),
    ("body", {"body": {"an": "object"}}),
    ("webhooks", {"webhooks": [{"url": "gopher://127.0.0.1/"}]}),
    ("webhooks", {"webhooks": [{"url": URL}] * 21}),
    ("webhook_quorum", {"webhook_quorum": 0}),
    ("webhook_quorum", {"webhook_quorum": 2, "webhooks": [{"url": URL}]}),
    ("execution_mode", {"execution_mode": "stroll"}),
    ("region_policy", {"region_policy": "lenient"}),
    ("retry_policy", {"retry_policy": {"max_retries": -1}}),
    ("retry_policy", {"retry_policy": {"retry_codes": ["429"]}}),
    ("on_failure_timeout_ms", {"on_failure_timeout_ms": 0}),
    ("idempotent_key", {"idempotent_key": "k" * 513}),
    ("idempotent_key", {"idempotent_key": "a\nb"}),
    ("retry_at", {"retry_at": 2**60}),
    ("priority", {"priority": 10}),
    ("timeout_ms", {"timeout_ms": 600_001}),
    ("deadline_ms", {"deadline_ms": 0}),
    ("guarantee", {"guarantee": "exactly_once"}),
    ("regions", {"guarantee": "at_most_once", "regions": ["iad", "lax"]}),
    ("cost", {"cost": -1}),
    ("metadata", {"metadata": {"a": "x" * 70_000}}),
    ("fallback_job.url", {"fallback_job": {"url": "ftp://example.com"}}),
    ("on_success.url", {"on_success": {"url": "ftp://example.com"}}),
    ("on_failure.url", {"on_failure": {"url": "ftp://example.com"}}),
]


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem document as the contract has it."""
    problem: dict[str, Any] = answer.json()
    assert answer.status_code == problem["status"] == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    assert "\n" not in problem["error"]
    return problem


@pytest.mark.parametrize("body", NOT_STRICT_JSON)
def test_what_is_not_one_strict_json_object_is_refused(api: Api, body: bytes) -> None:
    is_problem(api.http.post("/api/v1/jobs", content=body), 400)


@pytest.mark.parametrize(("field", "part"), INVALID_FIELDS, ids=lambda value: json.dumps(value)[:40])
def test_an_invalid_field_is_named(api: Api, field: str, part: dict[str, Any]) -> None:
    problem = is_problem(api.post(**{"url": URL} | part), 422)

    assert problem["errors"]
    for error in problem["errors"]:
        assert error["field"].startswith(field)
        assert error["message"]
        assert error["field"] in problem["error"]


def test_all_invalid_fields_are_named_at_once(api: Api) -> None:
    problem = is_problem(api.post(method="GET", priority=11, timeout_ms=0, headers=[]), 422)

    named = {error["field"] for error in problem["errors"]}
    assert named == {"url", "priority", "timeout_ms", "headers"}


def test_an_unknown_region_is_refused_with_the_known_ones(api: Api) -> None:
    problem = is_problem(api.post(url=URL, regions=["iad", "mars"]), 422)

    assert [error["field"] for error in problem["errors"]] == ["regions"]
    for name in ("mars", "iad", "lax", "ord"):
        assert name in problem["error"]


def test_unknown_fields_are_ignored_and_named(api: Api, target: Site) -> None:
    acknowledged = api.submit(url=target.url("/x"), colour="blue")

    assert any("colour" in warning for warning in acknowledged["warnings"])


def test_camel_case_twins_are_read(api: Api, target: Site) -> None:
    acknowledged = api.submit(url=target.url("/x"), idempotentKey=f"camel-{target.port}")

    assert acknowledged["idempotent_key"] == f"camel-{target.port}"
    assert "warnings" not in acknowledged


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer ck_live_cust_acceptance_wrong"},
        {"Authorization": "Basic Y2s6bGl2ZQ=="},
        {"Authorization": "Bearer " + "k" * 10_000},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
    ids=["none", "empty", "no key", "wrong key", "not a bearer", "very long", "not ASCII"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs/job_1_1"),
        ("GET", "/api/v1/webhook-secrets"),
        ("POST", "/api/v1/webhook-secrets"),
        ("DELETE", "/api/v1/webhook-secrets"),
        ("POST", "/api/v1/proxy"),
    ],
)
def test_nothing_is_done_without_a_valid_key(
    service: Service, headers: dict[str, str], method: str, path: str
) -> None:
    answer = httpx.request(method, service.base_url + path, headers=headers, json={"url": URL})

    is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_body_over_one_mib_is_refused(api: Api) -> None:
    is_problem(api.post(url=URL, body="x" * 1024 * 1024), 413)


def test_a_body_over_one_mib_that_hides_its_length_is_refused(api: Api) -> None:
    parts = (b'{"url": "' + b"x" * 100_000 for _ in range(12))

    is_problem(api.http.post("/api/v1/jobs", content=parts), 413)


def test_a_body_just_under_one_mib_is_taken(api: Api, target: Site) -> None:
    body = "x" * (1024 * 1024 - 300)

    assert api.run(url=target.url("/large"), method="POST", body=body)["state"] == "success"
    assert target.seen("/large")[0].body == body.encode()


def test_somebody_elses_job_is_not_found(api: Api, service: Service, target: Site) -> None:
    job_id = api.submit(url=target.url("/mine"))["job_id"]

    with customer_of(service, "cust_stranger") as stranger:
        is_problem(stranger.http.get(f"/api/v1/jobs/{job_id}"), 404)


@pytest.mark.parametrize("job_id", ["job_1_1", "nonsense", "job_1_1%00", "%F0%9F%92%A9", "job_" + "9" * 400])
def test_a_job_that_never_was_is_not_found(api: Api, job_id: str) -> None:
    is_problem(api.http.get(f"/api/v1/jobs/{job_id}"), 404)


def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    is_problem(api.http.get("/api/v2/jobs"), 404)
    is_problem(api.http.put("/api/v1/jobs"), 405)


@pytest.mark.parametrize(
    "target_url",
    ["http://elsewhere/admin", "http://elsewhere/api/v1/proxy", "http://h/api/v1/../../healthz", "", "%"],
)
def test_the_envelope_reaches_nothing_but_this_api(api: Api, target_url: str) -> None:
    envelope = {
        "scope": "customer",
        "metric_name": "",
        "target_url": target_url,
        "method": "POST",
        "body": "{}",
    }

    problem = is_problem(api.http.post("/api/v1/proxy", json=envelope), 422)

    assert [error["field"] for error in problem["errors"]] == ["target_url"]


def test_an_envelope_of_another_host_is_answered_here(api: Api, target: Site) -> None:
    envelope = {
        "target_url": target.url("/api/v1/jobs"),
        "method": "POST",
        "headers": {"Authorization": "Bearer ck_live_somebody_else"},
        "body": json.dumps({"url": target.url("/x")}),
    }

    answer = api.http.post("/api/v1/proxy", json=envelope)

    forwarded = answer.json()["forwarded_response"]
    assert (answer.status_code, answer.json()["status"], forwarded["status_code"]) == (200, "allowed", 201)
    assert api.ended(json.loads(forwarded["body"])["job_id"])["state"] == "success"
    assert [seen.path for seen in target.seen()] == ["/x"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"POST /api/v1/jobs HTTP/1.1\r\n",
    ],
)
def test_what_is_not_http_hurts_nobody(api: Api, service: Service, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)

    assert not answer.startswith(b"HTTP/1.1 5")
    assert api.http.get("/healthz").status_code == httpx.codes.OK


def test_a_target_that_does_not_speak_http_ends_the_job(api: Api) -> None:
    with fresh_listener() as listener:
        port = listener.getsockname()[1]
        job = api.submit(url=f"http://127.0.0.1:{port}/", retry_policy={"max_retries": 0, "max_reroutes": 0})
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"\x00\xff nonsense\r\n\r\n")

    ended = api.ended(job["job_id"])
    assert (ended["state"], ended["result"]["error"]["code"]) == ("failed", "connection")
