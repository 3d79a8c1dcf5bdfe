"""The content of a job's events."""

from typing import Any

from orchestrator.adapters.http.documents.jobs import result_document
from orchestrator.adapters.http.documents.timeline import attempt_document, sending_document
from orchestrator.domain.jobs.lifecycle import JobState, state_shown
from orchestrator.domain.results.progress import Event, EventName
from orchestrator.ports.store import StoredJob


def event_document(event: Event, stored: StoredJob, now_ms: int) -> dict[str, Any]:
    """Show what happened to a job; its end with its result, or that one's place."""
    if event.attempt is not None:
        show = sending_document if event.name is EventName.DISPATCHING else attempt_document
        return show(event.step, event.attempt)
    return _queued_document(stored, now_ms) if event.name is EventName.QUEUED else _end_document(stored)


def _queued_document(stored: StoredJob, now_ms: int) -> dict[str, Any]:
    state = state_shown(stored.state, stored.job.begins_ms, now_ms)
    return {
        "job_id": stored.job.id,
        # Who joins late is told how it began; what came of it stands in the events that follow.
        "state": state if state is JobState.SCHEDULED else JobState.QUEUED,
        "accepted_at": stored.job.accepted_ms,
    }


def _end_document(stored: StoredJob) -> dict[str, Any]:
    return {
        "job_id": stored.job.id,
        "state": stored.state,
        "ended_at": stored.ended_ms,
        "result": result_document(stored),
    }
