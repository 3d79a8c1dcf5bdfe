"""How a job is told to the outside: the webhook's body and the API's timeline."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.job import ExecutionMode, Job
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.run import Answer, Attempt, Leg, Run
from orchestrator.domain.settling import Failure

PRIMARY_STEP = "primary"


def webhook_body(
    job: Job,
    run: Run,
    state: JobState,
    *,
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
        "attempts": run.made,
        "step": PRIMARY_STEP,
        "error": {"code": failure.code, "message": failure.message} if failure else None,
    }
    if job.spec.execution_mode is ExecutionMode.FANOUT:
        document["responses"] = fanout_document(run.answers)
    return json.dumps(document, separators=(",", ":")).encode()


def response_document(response: HttpResponse) -> dict[str, Any]:
    """Show a response; a body that is not UTF-8 goes as base64."""
    document: dict[str, Any] = {"status_code": response.status, "headers": response.headers}
    try:
        document["body"] = response.body.decode()
    except UnicodeDecodeError:
        document |= {"body": base64.b64encode(response.body).decode(), "body_encoding": "base64"}
    if response.truncated:
        document["truncated"] = True
    return document


def fanout_document(answers: Iterable[Answer]) -> dict[str, Any]:
    """Show each region's response."""
    return {answer.region: response_document(answer.response) for answer in answers}


def timeline_document(run: Run) -> dict[str, Any]:
    """Show every leg and every attempt that is kept. Times are Unix ms."""
    return {
        "legs": [_leg_document(index, leg) for index, leg in enumerate(run.legs)],
        "attempts": [_attempt_document(attempt) for attempt in run.attempts],
        "attempts_made": run.made,
        "retries": run.retries,
        "reroutes": run.reroutes,
    }


def _leg_document(index: int, leg: Leg) -> dict[str, Any]:
    return {"leg": index, "region": leg.region, "state": leg.state.value.replace(" ", "_")}


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "leg": attempt.leg,
        "region": attempt.region,
        "granted_at": attempt.granted_ms,
        "started_at": attempt.started_ms,
        "ended_at": attempt.ended_ms,
        "closed_at": attempt.closed_ms,
        "status_code": attempt.status,
        "fault": attempt.fault,
        "verdict": attempt.verdict,
    }
