"""How a job's end is told to its receivers: the webhook's body, written once and kept as the job's result."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from orchestrator.domain.course import Course, step_name
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import JobId
from orchestrator.domain.job import ExecutionMode, Job
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.run import Answer
from orchestrator.domain.settling import Failure


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
    document: dict[str, Any] = {
        "job_id": job.id,
        "idempotent_key": job.idempotent_key,
        "status": JobState.SUCCESS if state is JobState.SUCCESS else JobState.FAILED,
        "response": response_document(answer.response) if answer else None,
        "metadata": job.spec.metadata,
        "region": answer.region if answer else None,
        "attempts": course.made,
        "step": step_name(step),
        "error": {"code": failure.code, "message": failure.message} if failure else None,
    }
    run = course.runs[step]
    if run is not None and job.spec.steps[step].execution_mode is ExecutionMode.FANOUT:
        document["responses"] = fanout_document(run.answers)
    # JSON's own escape is what a lone surrogate is replaced with: nothing that is told may break an end.
    return _write(document).encode(errors="backslashreplace")


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
    return _write(document).encode()


def response_document(response: HttpResponse) -> dict[str, Any]:
    """Show a response; a body that is not plain text goes as base64. What is not all of it says so."""
    document: dict[str, Any] = {"status_code": response.status, "headers": response.headers}
    text = _plain_text(response.body)
    if text is None:
        document |= {"body": base64.b64encode(response.body).decode(), "body_encoding": "base64"}
    else:
        document["body"] = text
    if response.truncated:
        document["truncated"] = True
    if response.headers_truncated:
        document["headers_truncated"] = True
    if response.incomplete:
        document["incomplete"] = response.incomplete
    return document


def _plain_text(body: bytes) -> str | None:
    """Read a body as text; None where it is not UTF-8, or holds so many control characters that JSON, which
    writes each in six bytes, would make it larger than base64 does.
    """
    controls = len(body) - len(body.translate(None, _CONTROLS))
    if 5 * controls > len(body) / 3:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def fanout_document(answers: Iterable[Answer]) -> dict[str, Any]:
    """Show the response of each region that was asked for, and where that leg ran."""
    return {
        answer.asked or answer.region: response_document(answer.response) | {"ran_in": answer.region}
        for answer in answers
    }


_CONTROLS = bytes(set(range(0x20)) - set(b"\b\t\n\f\r"))
"""What JSON has no short escape for (RFC 8259, 7)."""
# Not in ASCII alone: every letter beyond it would take six bytes instead of two or three.
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
