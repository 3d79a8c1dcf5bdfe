"""The calls about jobs that were submitted, and about the service."""

from typing import Any

import pytest

from ezthrottle import (
    AsyncEZThrottle,
    ConflictError,
    EZThrottle,
    EZThrottleError,
    NotFoundError,
    ServiceUnreachableError,
)

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOBS = "/api/v1/jobs"

CALLS = [
    ("cancel", (JOB_ID,), "DELETE", f"{JOBS}/{JOB_ID}", "job_id"),
    ("replay", (JOB_ID,), "POST", f"{JOBS}/{JOB_ID}/replay", "job_id"),
    ("redeliver", (JOB_ID,), "POST", f"{JOBS}/{JOB_ID}/redeliver", "deliveries"),
    ("usage", (), "GET", "/api/v1/usage", "open_jobs"),
    ("regions", (), "GET", "/api/v1/regions", "regions"),
    ("domains", (), "GET", "/api/v1/domains", "domains"),
    ("list_jobs", (), "GET", JOBS, "jobs"),
    ("list_dead_webhooks", (), "GET", "/api/v1/webhooks/dead", "deliveries"),
    ("redeliver_webhooks", (), "POST", "/api/v1/webhooks/redeliver", "deliveries"),
]


@pytest.mark.parametrize(("name", "arguments", "method", "path", "field"), CALLS)
def test_a_call_goes_where_the_contract_says(
    client: EZThrottle,
    service: Any,
    answer: Any,
    name: str,
    arguments: Any,
    method: str,
    path: str,
    field: str,
) -> None:
    service.on(method, path, answer(200, {field: name}))
    assert getattr(client, name)(*arguments) == {field: name}
    assert [(seen.method, seen.path, seen.query) for seen in service.seen] == [(method, path, {})]


@pytest.mark.parametrize(("name", "arguments", "method", "path", "field"), CALLS)
async def test_the_asyncio_client_makes_the_same_calls(
    service: Any, answer: Any, name: str, arguments: Any, method: str, path: str, field: str
) -> None:
    service.on(method, path, answer(200, {field: name}))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        assert await getattr(client, name)(*arguments) == {field: name}


@pytest.mark.parametrize(("name", "arguments", "method", "path", "field"), CALLS)
def test_an_answer_of_another_server_is_an_error(
    client: EZThrottle,
    service: Any,
    answer: Any,
    name: str,
    arguments: Any,
    method: str,
    path: str,
    field: str,
) -> None:
    service.on(method, path, answer(200, {"status": "ok", "data": []}))
    with pytest.raises(EZThrottleError, match=f"no '{field}' in it.*base_url"):
        getattr(client, name)(*arguments)


def test_a_page_of_jobs_is_asked_for_by_state_limit_and_cursor(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("GET", JOBS, answer(200, {"jobs": [], "next_cursor": None}))
    client.list_jobs(state="failed", limit=5, cursor="abc")
    assert service.seen[0].query == {"state": "failed", "limit": "5", "cursor": "abc"}


def test_dead_webhooks_are_named_by_endpoint_and_time(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", "/api/v1/webhooks/dead", answer(200, {"deliveries": []}))
    service.on("POST", "/api/v1/webhooks/redeliver", answer(202, {"deliveries": 0, "more": False}))
    client.list_dead_webhooks(endpoint="app.example.com", since=1, until=2, limit=3, cursor="c")
    client.redeliver_webhooks(endpoint="app.example.com", since=0)
    listed, again = service.seen
    assert listed.query == {
        "endpoint": "app.example.com",
        "since": "1",
        "until": "2",
        "limit": "3",
        "cursor": "c",
    }
    assert again.json() == {"endpoint": "app.example.com", "since": 0}


@pytest.mark.parametrize("name", ["cancel", "replay", "redeliver"])
def test_a_job_in_the_wrong_state_and_no_job_are_told_apart(
    client: EZThrottle, service: Any, answer: Any, name: str
) -> None:
    _, arguments, method, path, _ = next(call for call in CALLS if call[0] == name)
    service.on(method, path, answer(409, {"error": "it has ended"}), answer(404, {"error": "no such job"}))
    with pytest.raises(ConflictError, match="it has ended"):
        getattr(client, name)(*arguments)
    with pytest.raises(NotFoundError, match="no such job"):
        getattr(client, name)(*arguments)


def test_a_replay_is_not_repeated_by_itself(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", f"{JOBS}/{JOB_ID}/replay", answer(drop=True))
    with pytest.raises(ServiceUnreachableError):
        client.replay(JOB_ID)
    assert len(service.seen) == 1


def test_domains_are_asked_for_page_by_page(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", "/api/v1/domains", answer(200, {"domains": [], "next_cursor": None}))
    client.domains(limit=20, cursor="bmV4dA")
    assert service.seen[0].query == {"limit": "20", "cursor": "bmV4dA"}


def test_jobs_are_listed_cancelled_and_replayed_by_the_same_filters(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("GET", JOBS, answer(200, {"jobs": [], "next_cursor": None}))
    for path in ("cancel", "replay"):
        service.on("POST", f"{JOBS}:{path}", answer(200, {"status": "dry_run", "jobs": 3}))
    filters: Any = {
        "state": ["failed", "cancelled"],
        "domain": "api.example.com",
        "delivery": "failed",
        "code": "timeout",
        "since": 1,
        "until": 2,
        "idempotent_key": "k",
    }
    client.list_jobs(**filters)
    assert (
        client.cancel_jobs(**filters, dry_run=True)["jobs"] == client.replay_jobs(**filters, limit=5)["jobs"]
    )
    listed, cancelled, replayed = service.seen
    said = {**filters, "state": "failed,cancelled"}
    assert listed.query == {name: str(value) for name, value in said.items()}
    assert cancelled.json() == {**said, "dry_run": True}
    assert replayed.json() == {**said, "limit": 5}


def test_pending_webhooks_and_bodies_are_asked_for(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("GET", "/api/v1/webhooks/pending", answer(200, {"endpoints": [], "deliveries": []}))
    service.on("GET", f"{JOBS}/{JOB_ID}", answer(200, {"state": "queued"}))
    client.list_pending_webhooks(endpoint="app.example.com", limit=3)
    client.get_job(JOB_ID, include="body")
    assert [seen.query for seen in service.seen] == [
        {"endpoint": "app.example.com", "limit": "3"},
        {"include": "body"},
    ]


def test_any_other_call_is_made_by_its_path(client: EZThrottle, service: Any, answer: Any) -> None:
    path = "/api/v1/domains/api.example.com/pace"
    service.on("PUT", path, answer(200, {"domain": "api.example.com"}))
    assert client.call("put", path, params={"dry": 1}, json={"rps": 2.5}) == {"domain": "api.example.com"}
    (seen,) = service.requests("PUT", path)
    assert (seen.json(), seen.query) == ({"rps": 2.5}, {"dry": "1"})


async def test_any_other_call_is_awaited_too(service: Any, answer: Any) -> None:
    service.on("GET", "/api/v1/usage", answer(200, {"open_jobs": 0}))
    async with AsyncEZThrottle(API_KEY, base_url=service.url) as client:
        assert await client.call("GET", "/api/v1/usage") == {"open_jobs": 0}


def test_a_post_that_has_no_method_of_its_own_is_not_repeated(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    path = "/api/v1/domains/api.example.com:pause"
    service.on("POST", path, answer(503, {"title": "not ready"}))
    with pytest.raises(EZThrottleError) as caught:
        client.call("POST", path)
    assert (len(service.requests("POST", path)), caught.value.reason) == (1, "not ready")


def test_an_error_says_what_the_service_said_and_none_where_it_said_nothing(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    errors = [{"field": "url", "message": "is not a URL"}]
    service.on("POST", JOBS, answer(422, {"error": "some", "errors": errors}))
    with pytest.raises(EZThrottleError) as caught:
        client.submit_job("x")
    assert caught.value.reason == "url: is not a URL"
    client.api_key = None
    with pytest.raises(EZThrottleError) as caught:
        client.submit_job("x")
    assert caught.value.reason is None
