import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.execution.course import PRIMARY, Course
from orchestrator.domain.execution.run import Answer, Run
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.results.report import response_document, webhook_body, without_bodies
from tests.unit.domain.builders import (
    IAD,
    LAX,
    REGIONS,
    UnderWay,
    a_job,
    a_spec,
    answer,
    answered,
    failed,
)

METADATA = {"order": 7, "tags": ["a", {"b": None}], "name": "Zoë"}


def told(
    run: Run, state: JobState, *, last: Answer | None = None, failure: Failure | None = None, **fields: Any
) -> dict[str, Any]:
    body = webhook_body(a_job(**fields), Course((run,)), state, step=PRIMARY, answer=last, failure=failure)
    document: dict[str, Any] = json.loads(body)
    return document


def test_a_success_is_told_as_the_contract_says() -> None:
    job = UnderWay(a_spec())
    job.play(0, failed(Fault.CONNECT, written=False))
    job.play(0, answered(200, b"done"))
    won = Answer(LAX, answer(200, b"done", {"content-type": "text/plain"}))
    assert told(job.run, JobState.SUCCESS, last=won, metadata=METADATA) == {
        "job_id": a_job().id,
        "idempotent_key": "key-1",
        "status": "success",
        "response": {"status_code": 200, "headers": {"content-type": "text/plain"}, "body": "done"},
        "metadata": METADATA,
        "region": "lax",
        "attempts": 2,
        "step": "primary",
        "error": None,
    }


def test_a_failure_is_told_with_its_code_and_the_response() -> None:
    job = UnderWay(a_spec())
    job.play(0, answered(404, b"none"))
    failure = Failure(FailureCode.STATUS, "the target answered 404")
    document = told(job.run, JobState.FAILED, last=Answer(IAD, answer(404, b"none")), failure=failure)
    assert document["status"] == "failed"
    assert document["error"] == {"code": "status", "message": "the target answered 404"}
    assert document["response"] == {"status_code": 404, "headers": {}, "body": "none"}
    assert document["region"] == "iad"


def test_a_failure_without_any_answer_has_neither_response_nor_region() -> None:
    document = told(UnderWay(a_spec()).run, JobState.FAILED, failure=Failure(FailureCode.DEADLINE, "late"))
    assert (document["response"], document["region"], document["attempts"]) == (None, None, 0)


def test_a_cancelled_job_is_told_as_failed_with_a_code_of_its_own() -> None:
    document = told(
        UnderWay(a_spec()).run, JobState.CANCELLED, failure=Failure(FailureCode.CANCELLED, "asked for")
    )
    assert (document["status"], document["error"]["code"]) == ("failed", "cancelled")


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", bytes(range(256)), b"\xed\xa0\x80"])
def test_a_body_that_is_not_utf8_travels_as_base64(raw: bytes) -> None:
    document = response_document(answer(200, raw))
    assert document["body_encoding"] == "base64"
    assert base64.b64decode(document["body"]) == raw


@pytest.mark.parametrize("text", ["", "plain", "Zoë 🎉", "one \x00 in a long line of text\u2028", '{"a": 1}'])
def test_a_body_that_is_utf8_travels_as_it_is(text: str) -> None:
    document = json.loads(json.dumps(response_document(answer(200, text.encode()))))
    assert document == {"status_code": 200, "headers": {}, "body": text}


@pytest.mark.parametrize("raw", [b"\0" * 1000, b"\x1b" * 9, b"\0\1\2abc", b"ab\0" * 500])
def test_a_body_of_control_characters_travels_as_base64(raw: bytes) -> None:
    document = response_document(answer(200, raw))
    assert base64.b64decode(document["body"]) == raw
    assert document["body_encoding"] == "base64"


def test_coloured_logs_and_form_feeds_are_text() -> None:
    log = "\x1b[31mfailed\x1b[0m to open the file that the job names\f\b\r\n" * 20
    assert response_document(answer(200, log.encode()))["body"] == log


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_body_takes_many_times_its_size(raw: bytes) -> None:
    job, run = a_job(), UnderWay(a_spec()).run
    full, empty = (
        webhook_body(job, Course((run,)), JobState.SUCCESS, step=PRIMARY, answer=told, failure=None)
        for told in (Answer(IAD, answer(200, raw * 50)), Answer(IAD, answer(200, b"")))
    )
    assert len(full) - len(empty) <= 2.7 * len(raw * 50) + 40


def test_a_body_that_was_cut_says_so() -> None:
    cut = HttpResponse(status=200, headers={}, body=b"abc", truncated=True)
    assert response_document(cut) == {"status_code": 200, "headers": {}, "body": "abc", "truncated": True}


def test_an_answer_whose_header_was_cut_or_that_stops_short_says_so() -> None:
    cut = HttpResponse(
        status=200, headers={}, body=b"abc", headers_truncated=True, incomplete="as a test says"
    )
    assert response_document(cut) == {
        "status_code": 200,
        "headers": {},
        "body": "abc",
        "headers_truncated": True,
        "incomplete": "as a test says",
    }


def test_the_body_is_compact_json_of_the_same_bytes_each_time() -> None:
    run, job = UnderWay(a_spec()).run, a_job(metadata=METADATA)
    bodies = {
        webhook_body(job, Course((run,)), JobState.SUCCESS, step=PRIMARY, answer=None, failure=None)
        for _ in range(3)
    }
    (body,) = bodies
    assert b", " not in body
    assert b"\\u" not in body


def test_a_fanout_tells_each_regions_response() -> None:
    fields: dict[str, Any] = {"regions": REGIONS, "execution_mode": ExecutionMode.FANOUT}
    job = UnderWay(a_spec(**fields))
    job.play(1, answered(200, b"lax"))
    job.play(0, answered(404, b"iad"))
    document = told(job.run, JobState.SUCCESS, last=job.run.answers[0], **fields)
    assert document["response"]["body"] == "lax"
    assert document["responses"] == {
        "lax": {"status_code": 200, "headers": {}, "body": "lax", "ran_in": "lax"},
        "iad": {"status_code": 404, "headers": {}, "body": "iad", "ran_in": "iad"},
    }


def test_a_fanout_keeps_the_answers_of_legs_that_ran_in_one_region_apart() -> None:
    fields: dict[str, Any] = {"regions": (IAD, LAX), "execution_mode": ExecutionMode.FANOUT}
    job = UnderWay(a_spec(**fields))
    job.end(job.send(0, region=LAX), answered(404, b"for iad"))
    job.end(job.send(1, region=LAX), answered(200, b"for lax"))
    responses = told(job.run, JobState.SUCCESS, last=job.run.answers[1], **fields)["responses"]
    assert {asked: (found["body"], found["ran_in"]) for asked, found in responses.items()} == {
        "iad": ("for iad", "lax"),
        "lax": ("for lax", "lax"),
    }


def test_a_race_tells_the_winners_response_only() -> None:
    document = told(UnderWay(a_spec(regions=REGIONS)).run, JobState.SUCCESS, regions=REGIONS)
    assert "responses" not in document


def test_a_result_without_bodies_keeps_all_else_as_it_was_written() -> None:
    answer = {"status_code": 200, "headers": {"a": "b"}, "body": "s3cret", "body_encoding": "base64"}
    told = {"job_id": "job_1_1", "status": "success", "metadata": {"body": "mine"}, "error": None}
    result = told | {"response": answer, "responses": {"iad": answer | {"ran_in": "iad"}}}
    kept = {"status_code": 200, "headers": {"a": "b"}}
    assert json.loads(without_bodies(json.dumps(result).encode())) == told | {
        "response": kept,
        "responses": {"iad": kept | {"ran_in": "iad"}},
    }
    nothing = told | {"response": None}
    assert json.loads(without_bodies(json.dumps(nothing).encode())) == nothing


def test_a_result_that_only_a_lenient_reader_takes_loses_its_bodies_too() -> None:
    found = json.loads(without_bodies(b'{"error":{"message":"\\ud800"},"response":{"body":"\\udfff"}}'))
    assert found == {"error": {"message": "?"}, "response": {}}
