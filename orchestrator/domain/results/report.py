"""How a job's end is told to its receivers: the webhook's body, written once and kept as the job's result."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import Course, step_name
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.execution.settling import Failure
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.json_bytes import json_bytes


def webhook_body(
    job: Job,
    course: Course,
    state: JobState,
    *,
    step: int,
    answer: Answer | None,
    failure: Failure | None,
) -> bytes:
    """Write the result of a job: the same bytes for every receiver and every redelivery."""
    document = result_document(
        job, course, state, step=step, answer=answer, failure=failure, show=_shown_document
    )
    return json_bytes(document)


def result_document(
    job: Job,
    course: Course,
    state: JobState,
    *,
    step: int,
    answer: Answer | None,
    failure: Failure | None,
    show: Callable[[HttpResponse, str | None], Any],
) -> dict[str, Any]:
    """Show the result of a job; ``show`` shows a response and, in a fan-out, where its leg ran."""
    document: dict[str, Any] = {
        "job_id": job.id,
        "idempotent_key": job.idempotent_key,
        "status": JobState.SUCCESS if state is JobState.SUCCESS else JobState.FAILED,
        "response": show(answer.response, None) if answer else None,
        "metadata": job.spec.metadata,
        "region": answer.region if answer else None,
        "attempts": course.made,
        "step": step_name(step),
        "error": {"code": failure.code, "message": failure.message} if failure else None,
    }
    if (answers := fanout_answers(job, course, step)) is not None:
        document["responses"] = {
            found.asked or found.region: show(found.response, found.region) for found in answers
        }
    return document


class _Bodiless(Struct, omit_defaults=True):
    """Of a response, what is no body; as it is written, for nobody here reads it."""

    status_code: Raw | UnsetType = UNSET
    headers: Raw | UnsetType = UNSET
    truncated: Raw | UnsetType = UNSET
    headers_truncated: Raw | UnsetType = UNSET
    incomplete: Raw | UnsetType = UNSET
    ran_in: Raw | UnsetType = UNSET


class _BodilessResult(Struct, omit_defaults=True):
    job_id: Raw | UnsetType = UNSET
    idempotent_key: Raw | UnsetType = UNSET
    status: Raw | UnsetType = UNSET
    response: _Bodiless | UnsetType | None = UNSET
    metadata: Raw | UnsetType = UNSET
    region: Raw | UnsetType = UNSET
    attempts: Raw | UnsetType = UNSET
    step: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    responses: dict[str, _Bodiless] | UnsetType = UNSET


def without_bodies(result: bytes) -> bytes:
    """Leave out of a result what the target sent in bodies. What is kept is named, so that what is added to
    a response some day is left out until somebody has thought of it.
    """
    try:
        document = msgspec.json.decode(result, type=_BodilessResult)
    except msgspec.DecodeError:
        # Lone surrogates, which only a lenient reader takes: written anew they are question marks.
        again = json.dumps(json.loads(result), ensure_ascii=False).encode(errors="replace")
        document = msgspec.json.decode(again, type=_BodilessResult)
    return msgspec.json.encode(document)


def fanout_answers(job: Job, course: Course, step: int) -> tuple[Answer, ...] | None:
    """Give the answers that a fan-out tells of; None where the step is none."""
    run = course.runs[step]
    is_fanout = run is not None and job.spec.steps[step].execution_mode.conduct.tells_all
    return run.answers if run is not None and is_fanout else None


def damaged_body(job_id: JobId, failure: Failure) -> bytes:
    """Write the result of a job of which nobody can say any more what it was."""
    document = {
        "job_id": job_id,
        "idempotent_key": None,
        "status": JobState.FAILED,
        "response": None,
        "metadata": {},
        "region": None,
        "attempts": 0,
        "step": step_name(0),
        "error": {"code": failure.code, "message": failure.message},
    }
    return json_bytes(document)


def response_document(response: HttpResponse) -> dict[str, Any]:
    """Show a response; a body that is not plain text goes as base64. What is not all of it says so."""
    text = _plain_text(response.body)
    if text is None:
        return around_body(
            response, {"body": base64.b64encode(response.body).decode(), "body_encoding": "base64"}
        )
    return around_body(response, {"body": text})


def around_body(response: HttpResponse, body: dict[str, Any], ran_in: str | None = None) -> dict[str, Any]:
    """Show all of a response but its body, which is shown already."""
    document: dict[str, Any] = {"status_code": response.status, "headers": response.headers, **body}
    if response.truncated:
        document["truncated"] = True
    if response.headers_truncated:
        document["headers_truncated"] = True
    if response.incomplete:
        document["incomplete"] = response.incomplete
    if ran_in is not None:
        document["ran_in"] = ran_in
    return document


def _shown_document(response: HttpResponse, ran_in: str | None) -> dict[str, Any]:
    document = response_document(response)
    if ran_in is not None:
        document["ran_in"] = ran_in
    return document


def _plain_text(body: bytes) -> str | None:
    """Read a body as text; None where it is not UTF-8, or has too many control characters."""
    if too_many_controls(controls_in(body), len(body)):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def controls_in(body: bytes) -> int:
    """Count the control characters that JSON writes in six bytes each."""
    return len(body) - len(body.translate(None, _CONTROLS))


def too_many_controls(controls: int, size: int) -> bool:
    """Whether they make a body of that size larger than base64 does."""
    return 5 * controls > size / 3


_CONTROLS = bytes(set(range(0x20)) - set(b"\b\t\n\f\r"))
"""What JSON has no short escape for (RFC 8259, 7)."""
