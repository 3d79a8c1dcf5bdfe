import time
from typing import Any

import httpx
import pytest

from ezthrottle import (
    AsyncEZThrottle,
    AuthenticationError,
    EZThrottle,
    EZThrottleError,
    InvalidJobError,
    QuotaExceededError,
    ServiceUnavailableError,
    ServiceUnreachableError,
)

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
JOBS = "/api/v1/jobs"


def test_a_job_goes_straight_to_the_service_with_the_key(client: EZThrottle, service: Any) -> None:
    answer = client.submit_job("https://api.example.com", method="post", body="{}")

    assert answer == {"job_id": JOB_ID, "status": "queued"}
    (seen,) = service.requests("POST", JOBS)
    assert seen.headers["authorization"] == f"Bearer {API_KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("ezthrottle-python/")
    assert seen.json() == {"url": "https://api.example.com", "method": "POST", "body": "{}"}


def test_every_argument_reaches_the_service_by_its_name(client: EZThrottle, service: Any) -> None:
    job = {
        "url": "https://api.example.com",
        "method": "PUT",
        "headers": {"X-A": "1"},
        "body": "text",
        "metadata": {"order": "42"},
        "webhooks": [{"url": "https://app.example.com", "regions": ["iad"], "has_quorum_vote": False}],
        "webhook_quorum": 2,
        "regions": ["iad", "lax"],
        "region_policy": "strict",
        "execution_mode": "fanout",
        "retry_policy": {"max_retries": 5},
        "fallback_job": {"url": "https://b.example.com", "trigger": {}},
        "on_success": {"url": "https://c.example.com"},
        "on_failure": {"url": "https://d.example.com"},
        "on_failure_timeout_ms": 60000,
        "idempotent_key": "order_42",
        "retry_at": 1763674210055,
        "priority": 0,
        "timeout_ms": 5000,
        "deadline_ms": 90000,
        "guarantee": "at_most_once",
        "cost": 0.5,
        "account": "team-a",
    }
    client.submit_job(**job)
    assert service.requests("POST", JOBS)[0].json() == job


def test_what_says_nothing_is_left_out(client: EZThrottle, service: Any) -> None:
    client.submit_job("https://api.example.com", headers={}, body="", metadata={}, webhooks=[], regions=[])
    assert service.requests("POST", JOBS)[0].json() == {"url": "https://api.example.com", "method": "GET"}


def test_zero_says_something_where_a_number_can_be_zero(client: EZThrottle, service: Any) -> None:
    client.submit_job("https://api.example.com", retry_at=0, on_failure_timeout_ms=0, priority=0, cost=0)
    sent = service.requests("POST", JOBS)[0].json()
    assert [sent[name] for name in ("retry_at", "on_failure_timeout_ms", "priority", "cost")] == [0, 0, 0, 0]


def test_calls_share_a_connection(client: EZThrottle, service: Any) -> None:
    for _ in range(3):
        client.submit_job("https://api.example.com")
    assert service.connections == 1


def test_a_submission_is_repeated_when_its_answer_is_lost(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    duplicate = answer(200, {"job_id": JOB_ID, "status": "duplicate"})
    service.on("POST", JOBS, answer(drop=True), duplicate)

    assert client.submit_job("https://api.example.com", idempotent_key="k")["status"] == "duplicate"
    first, second = service.requests("POST", JOBS)
    assert first.body == second.body


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_submission_is_repeated_while_the_service_is_away(
    client: EZThrottle, service: Any, answer: Any, status: int
) -> None:
    service.on("POST", JOBS, answer(status), answer(status), answer(202, {"job_id": JOB_ID}))
    assert client.submit_job("https://api.example.com")["job_id"] == JOB_ID
    assert len(service.requests("POST", JOBS)) == 3


def test_repetitions_end_at_max_attempts(service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(503, {"title": "not ready"}))
    with (
        EZThrottle(API_KEY, base_url=service.url, max_attempts=3) as client,
        pytest.raises(ServiceUnavailableError, match="not ready") as caught,
    ):
        client.submit_job("https://api.example.com")
    assert caught.value.status_code == 503
    assert len(service.requests("POST", JOBS)) == 3


def test_a_retry_after_past_the_budget_ends_the_repetitions(service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(503, {}, {"Retry-After": "3600"}))
    with (
        EZThrottle(API_KEY, base_url=service.url) as client,
        pytest.raises(ServiceUnavailableError) as caught,
    ):
        client.submit_job("https://api.example.com")
    assert caught.value.retry_at > (time.time() + 3500) * 1000
    assert len(service.requests("POST", JOBS)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500])
def test_an_answer_that_a_repetition_would_not_change_is_not_repeated(
    client: EZThrottle, service: Any, answer: Any, status: int
) -> None:
    service.on("POST", JOBS, answer(status))
    with pytest.raises(EZThrottleError) as caught:
        client.submit_job("https://api.example.com")
    assert caught.value.status_code == status
    assert len(service.requests("POST", JOBS)) == 1


def test_an_unreachable_service_is_a_connection_error_that_names_its_address(dead_url: str) -> None:
    with (
        EZThrottle(API_KEY, base_url=dead_url, max_attempts=2) as client,
        pytest.raises(ServiceUnreachableError, match=dead_url) as caught,
    ):
        client.submit_job("https://api.example.com")
    assert isinstance(caught.value, ConnectionError)
    assert "EZTHROTTLE_URL" in str(caught.value)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_a_refused_job_names_the_fields_and_the_remedy(client: EZThrottle, service: Any, answer: Any) -> None:
    errors = [
        {"field": "url", "message": "must be http or https"},
        {"field": "regions", "message": "unknown"},
    ]
    problem = {"title": "Invalid", "status": 422, "error": "2 invalid fields", "errors": errors}
    service.on("POST", JOBS, answer(422, problem))

    with pytest.raises(InvalidJobError, match=r"url: must be http or https; regions: unknown") as caught:
        client.submit_job("ftp://api.example.com")
    assert caught.value.errors == errors
    assert "send it again" in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 413])
def test_a_refusal_without_fields_carries_the_services_words(
    client: EZThrottle, service: Any, answer: Any, status: int
) -> None:
    service.on("POST", JOBS, answer(status, {"title": "Refused", "error": "the body is no JSON"}))
    with pytest.raises(InvalidJobError, match="the body is no JSON") as caught:
        client.submit_job("https://api.example.com")
    assert caught.value.errors == []


@pytest.mark.parametrize("retry_after", ["7", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_quota_error_says_when_to_repeat(
    client: EZThrottle, service: Any, answer: Any, retry_after: str
) -> None:
    service.on("POST", JOBS, answer(429, {"error": "over the plan"}, {"Retry-After": retry_after}))
    earliest = 4102444800_000 if "2100" in retry_after else (time.time() + 7) * 1000
    with pytest.raises(QuotaExceededError, match="over the plan") as caught:
        client.submit_job("https://api.example.com")
    assert earliest - 1000 <= caught.value.retry_at <= earliest + 60_000


def test_a_quota_error_takes_the_time_from_the_body_where_there_is_no_header(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("POST", JOBS, answer(429, {"error": "over the plan", "retry_at": 1763674210055}))
    with pytest.raises(QuotaExceededError) as caught:
        client.submit_job("https://api.example.com")
    assert caught.value.retry_at == 1763674210055


def test_a_refused_key_says_where_to_get_one(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(401, {"error": "unknown key"}))
    with pytest.raises(AuthenticationError, match="ezthrottle keys create"):
        client.submit_job("https://api.example.com")


def test_a_missing_key_is_noticed_before_anything_is_sent(service: Any) -> None:
    with EZThrottle(base_url=service.url) as client, pytest.raises(AuthenticationError):
        client.submit_job("https://api.example.com")
    assert service.seen == []


def test_a_key_that_no_header_can_carry_is_not_repeated_in_the_error(service: Any) -> None:
    with (
        EZThrottle("ck_live_cust_acme_a\nb", base_url=service.url) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.submit_job("https://api.example.com")
    assert "cust_acme" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_answer_of_another_server_names_base_url(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", JOBS, answer(200, "<html>welcome</html>"))
    with pytest.raises(EZThrottleError, match="base_url"):
        client.submit_job("https://api.example.com")


def test_a_redirect_is_not_followed_with_the_key(
    client: EZThrottle, service: Any, target: Any, answer: Any
) -> None:
    service.on("POST", JOBS, answer(307, "", {"Location": f"{target.url}/elsewhere"}))
    with pytest.raises(EZThrottleError, match="base_url"):
        client.submit_job("https://api.example.com")
    assert target.seen == []


def test_credentials_of_the_callers_own_http_client_do_not_replace_the_key(service: Any) -> None:
    with httpx.Client(auth=("user", "password")) as http:
        EZThrottle(API_KEY, base_url=service.url, http_client=http).submit_job("https://api.example.com")
    assert service.seen[0].headers["authorization"] == f"Bearer {API_KEY}"


def test_the_callers_own_http_client_is_left_open(service: Any) -> None:
    with httpx.Client() as http:
        with EZThrottle(API_KEY, base_url=service.url, http_client=http):
            pass
        assert not http.is_closed


def test_key_and_address_come_from_the_environment(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EZTHROTTLE_API_KEY", f"{API_KEY}\n")
    monkeypatch.setenv("EZTHROTTLE_URL", f"{service.url}/")
    with EZThrottle() as client:
        client.submit_job("https://api.example.com")
    assert service.seen[0].headers["authorization"] == f"Bearer {API_KEY}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"base_url": "https://dam.example.com/"}, "https://dam.example.com"),
        ({"base_url": "http://a:1/prefix"}, "http://a:1/prefix"),
        ({"tracktags_url": "http://t"}, "http://t"),
        ({"ezthrottle_url": "http://e"}, "http://e"),
        ({"ezthrottle_url": "http://e", "tracktags_url": "http://t"}, "http://t"),
        ({"tracktags_url": "http://t", "base_url": "http://b"}, "http://b"),
        ({"ezthrottle_url": "http://e", "base_url": "http://b"}, "http://b"),
    ],
)
def test_the_most_definite_address_is_used(
    arguments: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments:
        monkeypatch.setenv("EZTHROTTLE_URL", "http://from.environment")
    with EZThrottle(API_KEY, **arguments) as client:
        assert client.base_url == client.tracktags_url == expected
        assert client.ezthrottle_url == arguments.get("ezthrottle_url", expected)


def test_the_key_goes_to_the_address_that_the_published_client_called(service: Any, dead_url: str) -> None:
    with EZThrottle(API_KEY, tracktags_url=service.url, ezthrottle_url=dead_url) as client:
        assert client.submit_job("https://api.example.com")["job_id"] == JOB_ID


@pytest.mark.parametrize("name", ["base_url", "tracktags_url", "ezthrottle_url"])
def test_an_address_that_is_set_later_is_called(
    service: Any, monkeypatch: pytest.MonkeyPatch, dead_url: str, name: str
) -> None:
    monkeypatch.setenv("EZTHROTTLE_URL", dead_url)
    with EZThrottle(API_KEY) as client:
        setattr(client, name, f"{service.url}/")
        assert client.submit_job("https://api.example.com")["job_id"] == JOB_ID


def test_an_address_that_was_not_called_before_is_not_called_when_it_changes(
    service: Any, dead_url: str
) -> None:
    with EZThrottle(API_KEY, tracktags_url=service.url, ezthrottle_url="http://e") as client:
        client.ezthrottle_url = dead_url
        assert (client.base_url, client.ezthrottle_url) == (service.url, dead_url)
        assert client.submit_job("https://api.example.com")["job_id"] == JOB_ID


def test_an_address_that_cannot_be_meant_changes_nothing(client: EZThrottle, service: Any) -> None:
    with pytest.raises(ValueError, match="base_url"):
        client.base_url = "localhost"
    client.api_key = API_KEY
    client.ezthrottle_url = "http://e"
    assert client.base_url == service.url


async def test_a_key_that_is_set_later_is_used(service: Any) -> None:
    async with AsyncEZThrottle("ck_live_cust_acme_former", base_url=service.url) as client:
        client.api_key = f"{API_KEY}\n"
        await client.submit_job("https://api.example.com")
    assert service.seen[0].headers["authorization"] == f"Bearer {API_KEY}"


class Marking(EZThrottle):
    """A program's own client, which adds to every job."""

    def submit_job(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().submit_job(*args, account="team-a", **kwargs)
        return answer


@pytest.mark.parametrize("name", ["queue_request", "queue_and_wait", "forward_or_fallback"])
@pytest.mark.filterwarnings("ignore:queue_request")
def test_what_submits_uses_the_submit_job_of_a_subclass(service: Any, answer: Any, name: str) -> None:
    service.on("GET", f"{JOBS}/{JOB_ID}", answer(200, {"job_id": JOB_ID, "state": "success"}))
    given = {"fallback": lambda: None} if name == "forward_or_fallback" else {"webhook_url": ""}
    with Marking(API_KEY, base_url=service.url) as client:
        assert getattr(client, name)(url="https://api.example.com", **given)["job_id"] == JOB_ID
    assert service.seen[0].json()["account"] == "team-a"


async def test_the_asyncio_client_too_uses_the_submit_job_of_a_subclass(service: Any) -> None:
    class AsyncMarking(AsyncEZThrottle):
        async def submit_job(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return await super().submit_job(*args, account="team-a", **kwargs)

    async with AsyncMarking(API_KEY, base_url=service.url) as client:
        await client.forward_or_fallback(lambda: None, "https://api.example.com")
    assert service.seen[0].json()["account"] == "team-a"


@pytest.mark.parametrize(
    "arguments",
    [{"base_url": "localhost:8080"}, {"base_url": "ftp://a"}, {"timeout": 0}, {"max_attempts": 0}],
)
def test_a_setting_that_cannot_be_meant_is_refused_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        EZThrottle(API_KEY, **arguments)


def test_queue_request_warns_its_caller_and_submits_one_webhook(client: EZThrottle, service: Any) -> None:
    with pytest.warns(DeprecationWarning, match="submit_job") as caught:
        client.queue_request("https://api.example.com", "https://app.example.com/hook", "POST")
    assert caught[0].filename == __file__
    assert service.seen[0].json() == {
        "url": "https://api.example.com",
        "method": "POST",
        "webhooks": [{"url": "https://app.example.com/hook", "has_quorum_vote": True}],
    }


def test_forward_or_fallback_submits_while_the_service_is_there(client: EZThrottle, service: Any) -> None:
    answer = client.forward_or_fallback(
        lambda: pytest.fail("not needed"), "https://api.example.com", "POST", regions=["iad"]
    )
    assert answer["job_id"] == JOB_ID
    assert service.seen[0].json()["regions"] == ["iad"]


def test_forward_or_fallback_falls_back_when_nothing_answers(dead_url: str) -> None:
    with EZThrottle(API_KEY, base_url=dead_url, max_attempts=2) as client:
        assert client.forward_or_fallback(lambda: "direct", "https://api.example.com") == "direct"


@pytest.mark.parametrize("status", [401, 422, 429, 503])
def test_forward_or_fallback_raises_what_the_service_says(
    client: EZThrottle, service: Any, answer: Any, status: int
) -> None:
    service.on("POST", JOBS, answer(status))
    with pytest.raises(EZThrottleError):
        client.forward_or_fallback(lambda: pytest.fail("the service is there"), "https://api.example.com")
