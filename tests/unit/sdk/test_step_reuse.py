"""Steps that are used again, bodies that are no text, times that are no numbers, and what is no step."""

from __future__ import annotations

import base64
import copy
import pickle
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from ezthrottle import AsyncEZThrottle, EZThrottle, EZThrottleWarning, IdempotentStrategy, Step, StepType
from ezthrottle.webhook import WebhookServer

UTC = timezone.utc  # noqa: UP017 - the oldest Python has no other name for it
API_KEY = "ck_live_cust_acme_s3cr3t"
JOBS = "/api/v1/jobs"
JOB_ID = "job_1763674210055_853341"
URL = "https://api.example.com"
BINARY = b"\x89PNG\x00\xff"


def sent(service: Any, number: int = -1) -> dict[str, Any]:
    job: dict[str, Any] = service.requests("POST", JOBS)[number].json()
    return job


def test_a_copy_goes_its_own_way(client: EZThrottle, service: Any) -> None:
    base = Step(client).url(URL).method("POST").metadata({"tags": ["a"]})
    first, second = base.copy().body("A"), base.copy().body("B").metadata({"tags": ["b"]})
    first.execute()
    second.execute()
    base.execute()
    found = [(sent(service, n).get("body"), sent(service, n)["metadata"]["tags"]) for n in range(3)]
    assert found == [("A", ["a"]), ("B", ["b"]), (None, ["a"])]


@pytest.mark.parametrize("copied", [Step.copy, copy.copy, copy.deepcopy])
def test_a_copy_has_copies_of_what_hangs_on_it_and_no_history(client: EZThrottle, copied: Any) -> None:
    child = Step().url(f"{URL}/child")
    base = (
        Step(client).url(URL).description("Charge").on_success(child).fallback(Step().url(f"{URL}/b"), [500])
    )
    base.spec.history.add("GET", "success")
    twin = copied(base)
    child.url(f"{URL}/other")
    assert twin._build_job_payload()["on_success"]["url"] == f"{URL}/child"
    assert twin._build_job_payload()["fallback_job"]["trigger"] == {"type": "on_error", "codes": [500]}
    assert (twin.client, twin.get_description(), twin.get_execution_history()) == (client, "Charge", [])


def test_what_is_changed_after_it_was_given_changes_nothing() -> None:
    headers, hooks, codes = {"X-A": "1"}, [{"url": URL, "regions": ["iad"]}], [500]
    step = Step().url(URL).headers(headers).webhooks(hooks).fallback(Step().url(URL), codes)
    step.fallback_on_error(codes)
    headers["X-A"] = "2"
    hooks[0]["regions"].append("lax")
    codes.append(429)
    payload = step._build_job_payload()
    assert payload["headers"] == {"X-A": "1"}
    assert payload["webhooks"] == [{"url": URL, "regions": ["iad"]}]
    assert payload["fallback_job"]["trigger"]["codes"] == step.spec.fallback_on_error == [500]


def test_a_second_execution_that_is_a_duplicate_names_copy(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    step = Step(client).url(URL)
    service.on(
        "POST",
        JOBS,
        answer(202, {"job_id": JOB_ID, "status": "queued"}),
        answer(200, {"job_id": JOB_ID, "status": "duplicate"}),
    )
    step.execute()
    with pytest.warns(EZThrottleWarning, match=r"copy\(\)") as told:
        step.execute()
    assert [each.filename for each in told] == [__file__]


def test_a_step_may_be_executed_again_where_that_makes_another_job(client: EZThrottle, service: Any) -> None:
    step = Step(client).url(URL).idempotent_strategy(IdempotentStrategy.UNIQUE)
    step.execute()
    step.execute()
    assert sent(service, 0)["idempotent_key"] != sent(service, 1)["idempotent_key"]


def test_json_is_written_with_its_content_type(client: EZThrottle, service: Any) -> None:
    Step(client).url(URL).json({"name": "Zoë", "n": [1, None]}).headers({"X-A": "1"}).execute()
    assert sent(service)["body"] == '{"name":"Zoë","n":[1,null]}'
    assert sent(service)["headers"] == {"Content-Type": "application/json", "X-A": "1"}
    Step(client).url(URL).headers({"content-type": "application/problem+json"}).json([]).execute()
    assert sent(service)["headers"] == {"content-type": "application/problem+json"}
    Step(client).url(URL).json([]).body("text").execute()
    assert "headers" not in sent(service)


@pytest.mark.parametrize("how", ["bytes", "body", "argument"])
def test_bytes_go_as_base64(client: EZThrottle, service: Any, how: str) -> None:
    if how == "argument":
        client.submit_job(URL, body=BINARY)
    else:
        getattr(Step(client).url(URL), how)(BINARY).execute()
    assert (base64.b64decode(sent(service)["body"]), sent(service)["body_encoding"]) == (BINARY, "base64")


def test_a_frugal_step_sends_bytes_and_json_as_they_are(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("POST", "/", answer(200))
    step = Step(client).url(target.url).type(StepType.FRUGAL).method("POST")
    step.bytes(BINARY).execute()
    step.json({"a": 1}).execute()
    assert [seen.body for seen in target.seen] == [BINARY, b'{"a":1}']
    assert target.seen[1].headers["content-type"] == "application/json"


def test_a_delay_counts_from_each_execution(client: EZThrottle, service: Any) -> None:
    step = Step(client).url(URL).delay(60)
    before_ms = time.time() * 1000
    step.execute()
    after_ms = time.time() * 1000
    assert int(before_ms) <= sent(service)["retry_at"] - 60_000 <= after_ms


def test_a_datetime_says_when(client: EZThrottle, service: Any) -> None:
    when = datetime(2031, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    Step(client).url(URL).delay(5).at(when).execute()
    assert sent(service)["retry_at"] == 1_935_396_000_000


@pytest.mark.parametrize("later", [lambda step: step.delay(60), lambda step: step.at(datetime.now(UTC))])
def test_a_frugal_step_that_starts_later_is_the_services(
    client: EZThrottle, service: Any, target: Any, later: Any
) -> None:
    later(Step(client).url(target.url).type(StepType.FRUGAL)).execute()
    assert (len(service.seen), target.seen) == (1, [])


def test_a_type_may_be_given_by_its_name(client: EZThrottle, target: Any, answer: Any) -> None:
    target.on("GET", "/", answer(200))
    result = Step(client).url(target.url).type("frugal").execute()  # type: ignore[arg-type] # as some do
    assert result["executed_locally"]


WRONG = [
    (lambda step: step.url(None), "url is a NoneType"),
    (lambda step: step.url(b"https://a"), "url is a bytes"),
    (lambda step: step.method(None), "method is a NoneType"),
    (lambda step: step.headers([("X-A", "1")]), "headers is a list"),
    (lambda step: step.body({"a": 1}), r"body is a dict.*json\("),
    (lambda step: step.metadata("order"), "metadata is a str"),
    (lambda step: step.webhooks({"url": URL}), "webhooks is a dict.*list"),
    (lambda step: step.webhooks(URL), "webhooks is a str.*list"),
    (lambda step: step.regions("iad"), r'regions is a str.*\["iad"\]'),
    (lambda step: step.retry_policy(5), "retry_policy is a int"),
    (lambda step: step.retry_at(datetime.now(UTC)), r"retry_at is a datetime.*at\(datetime\)"),
    (lambda step: step.retry_at("soon"), "retry_at is a str"),
    (lambda step: step.priority("high"), "priority is a str"),
    (lambda step: step.timeout_ms(timedelta(seconds=1)), "timeout_ms is a timedelta.*milliseconds"),
    (lambda step: step.idempotent_key(42), "idempotent_key is a int"),
    (lambda step: step.fallback_on_error(429), "fallback_on_error is a int"),
    (lambda step: step.fallback(Step(), 500), "trigger_on_error is a int"),
    (lambda step: step.bytes("text"), r"bytes\(\) takes bytes.*str"),
    (lambda step: step.at(1_763_674_210), r"at\(\) takes a datetime.*int"),
    (lambda step: step.json({"at": {1}}), "body.at: Object of type set"),
    (lambda step: step.on_success({"url": URL}), "follows a step.*dict"),
    (lambda step: step.fallback(URL), "follows a step.*str"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_what_is_of_a_wrong_type_is_named_at_once(wrong: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        wrong(Step().url(URL))


def test_submit_job_and_submit_many_name_the_same(client: EZThrottle, service: Any) -> None:
    with pytest.raises(TypeError, match="regions is a str"):
        client.submit_job(URL, regions="iad")  # type: ignore[arg-type] # the point
    with pytest.raises(TypeError, match=r"metadata\.when\.0: Object of type datetime"):
        client.submit_job(URL, metadata={"when": [datetime.now(UTC)]})
    with pytest.raises(ValueError, match=r"metadata\.n: Out of range"):
        client.submit_job(URL, metadata={"n": float("nan")})
    with pytest.raises(TypeError, match="webhooks is a str"):
        client.submit_many([{"url": URL, "webhooks": URL}])
    with pytest.raises(TypeError, match="a job is a str"):
        client.submit_many([URL])  # type: ignore[list-item] # the point
    assert service.seen == []


def test_a_time_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Step().at(datetime(2031, 5, 1))  # noqa: DTZ001 - the point
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="0 or more seconds"):
            Step().delay(seconds)


def test_a_step_cannot_follow_itself() -> None:
    step, child = Step().url(URL), Step().url(URL)
    child.on_success(Step().fallback(step))
    for follow in (step.on_success, step.on_failure, step.fallback):
        for again in (step, child):
            with pytest.raises(ValueError, match="cannot follow itself"):
                follow(again)


def test_what_is_no_client_is_named(client: EZThrottle) -> None:
    with pytest.raises(TypeError, match=r"takes a client.*is a Step.*copy\(\)"):
        Step(Step(client))  # type: ignore[arg-type] # the point
    with pytest.raises(TypeError, match=r"takes a client.*is a str"):
        Step(API_KEY)  # type: ignore[arg-type] # the point
    with pytest.raises(TypeError, match=r"takes a client.*is a dict"):
        Step().url(URL).execute({})  # type: ignore[arg-type] # the point


@pytest.mark.parametrize("call", ["wait", "get_job", "cancel", "replay", "redeliver", "stream"])
def test_what_is_no_job_id_is_named(client: EZThrottle, service: Any, call: str) -> None:
    for wrong in (None, {"job_id": JOB_ID}, 7):
        with pytest.raises(TypeError, match=rf"job_id is a {type(wrong).__name__}.*\"job_id\""):
            getattr(client, call)(wrong)
    with pytest.raises(ValueError, match="job_id is empty"):
        getattr(client, call)("")
    assert service.seen == []


async def test_nothing_secret_is_shown() -> None:
    base_url = "http://user:pass@127.0.0.1:8080"
    with EZThrottle(API_KEY, base_url=base_url) as client:
        assert repr(client) == "<EZThrottle of http://127.0.0.1:8080>"
        step = Step(client).url("https://me:secret@api.example.com/charge?token=secret").method("post")
        assert repr(step) == "<Step performance POST https://api.example.com/charge?...>"
    async with AsyncEZThrottle(API_KEY, base_url=base_url) as asynchronous:
        assert repr(asynchronous) == "<AsyncEZThrottle of http://127.0.0.1:8080>"
    assert repr(Step().type(StepType.FRUGAL)) == "<Step frugal GET no url>"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_client_is_copied_and_pickled_with_connections_of_its_own(
    client: EZThrottle, service: Any, again: Any
) -> None:
    client.submit_job(URL)
    with again(client) as other:
        assert other.submit_job(URL) == client.submit_job(URL)
    client.submit_job(URL)
    assert service.connections == 2


def test_a_step_is_pickled_with_its_client(client: EZThrottle, service: Any) -> None:
    step = pickle.loads(pickle.dumps(Step(client).url(URL).on_success(Step().url(URL))))
    with step.client:
        assert step.execute()["status"] == "queued"


def test_what_cannot_be_pickled_says_why() -> None:
    with pytest.raises(TypeError, match="webhook server"):
        pickle.dumps(EZThrottle(API_KEY, webhook_server=WebhookServer(port=0)))
    with httpx.Client() as http, pytest.raises(TypeError, match="http_client"):
        copy.copy(EZThrottle(API_KEY, http_client=http))
