import pytest

from orchestrator.domain.execution.course import PRIMARY
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.execution.target_request import target_request
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.policies import Guarantee
from tests.unit.domain.builders import LAX, NOW_MS, URL, a_job


def an_attempt(number: int = 3) -> Attempt:
    return Attempt(id=AttemptId(f"1.{number}"), number=number, leg=0, region=LAX, granted_ms=NOW_MS)


def headers_of(job: Job, number: int = 3) -> dict[str, str]:
    return dict(target_request(job, PRIMARY, an_attempt(number)).headers)


def test_the_target_sees_the_request_asked_for() -> None:
    job = a_job(method="PUT", body="zwölf", headers=(("X-A", "1"), ("x-b", "2")), timeout_ms=777)
    request = target_request(job, PRIMARY, an_attempt())
    assert (request.method, request.url, request.body) == ("PUT", URL, "zwölf".encode())
    assert request.headers[:2] == (("X-A", "1"), ("x-b", "2"))
    assert request.timeout_ms == 777


def test_a_job_without_a_body_has_none_on_the_wire() -> None:
    assert target_request(a_job(), PRIMARY, an_attempt()).body is None
    assert target_request(a_job(body=""), PRIMARY, an_attempt()).body == b""


def test_the_marks_of_the_service_name_job_attempt_and_region() -> None:
    job = a_job()
    marks = {
        "X-EZThrottle-Job-Id": job.id,
        "X-EZThrottle-Attempt": "3",
        "X-EZThrottle-Region": "lax",
    }
    assert headers_of(job) == marks


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_attempts_whose_repeating_may_harm_carry_one_idempotency_key(method: str) -> None:
    job = a_job(method=method)
    keys = {headers_of(job, number)["Idempotency-Key"] for number in (1, 2, 9)}
    assert len(keys) == 1
    assert keys.isdisjoint({headers_of(a_job(2, method=method))["Idempotency-Key"]})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_harmless_methods_get_no_key(method: str) -> None:
    assert "Idempotency-Key" not in headers_of(a_job(method=method))


def test_a_jobs_own_idempotency_key_is_left_alone_however_it_is_written() -> None:
    job = a_job(method="POST", headers=(("idempotency-KEY", "mine"),))
    named = [value for name, value in headers_of(job).items() if name.lower() == "idempotency-key"]
    assert named == ["mine"]


@pytest.mark.parametrize(
    ("method", "guarantee", "fresh"),
    [
        ("POST", Guarantee.AT_MOST_ONCE, True),
        ("PATCH", Guarantee.AT_MOST_ONCE, True),
        ("GET", Guarantee.AT_MOST_ONCE, False),
        ("PUT", Guarantee.AT_MOST_ONCE, False),
        ("POST", Guarantee.AT_LEAST_ONCE, False),
    ],
)
def test_only_what_may_be_sent_once_and_harms_if_repeated_goes_over_a_fresh_connection(
    method: str, guarantee: Guarantee, fresh: bool
) -> None:
    job = a_job(method=method, guarantee=guarantee)
    assert target_request(job, PRIMARY, an_attempt()).fresh_connection is fresh


def test_a_trace_goes_along_unless_the_job_set_its_own() -> None:
    theirs = a_job(headers=(("TraceParent", "theirs"),))
    for job, seen in ((a_job(), ["ours"]), (theirs, ["theirs"])):
        headers = target_request(job, PRIMARY, an_attempt(), "ours").headers
        assert [value for name, value in headers if name.lower() == "traceparent"] == seen
