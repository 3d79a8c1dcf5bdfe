"""A job's timeline: every leg, attempt and delivery."""

from collections.abc import Sequence
from typing import Any

from orchestrator.domain.execution.course import Child, Course, step_name
from orchestrator.domain.execution.run import Attempt, Leg
from orchestrator.ports.store import OutboxEntry


def timeline_document(
    course: Course | None, deliveries: Sequence[OutboxEntry] = (), urls: Sequence[str] = ()
) -> dict[str, Any]:
    """Show every leg and attempt that is kept, over all steps, and the deliveries to the webhooks' ``urls``.
    Times are Unix ms.
    """
    done = _course_document(course) if course else {"legs": [], "attempts": []}
    return done | {"deliveries": [_delivery_document(entry, urls[entry.index]) for entry in deliveries]}


def _course_document(course: Course) -> dict[str, Any]:
    begun = [(step, run) for step, run in enumerate(course.runs) if run is not None]
    return {
        "legs": [
            _leg_document(step_name(step), index, leg)
            for step, run in begun
            for index, leg in enumerate(run.legs)
        ],
        "attempts": [attempt_document(step, attempt) for step, attempt in course.named_attempts],
        "attempts_made": course.made,
        "retries": sum(run.retries for _, run in begun),
        "reroutes": sum(run.reroutes for _, run in begun),
        "children": [_child_document(child) for child in course.children],
    }


def attempt_document(step: str, attempt: Attempt) -> dict[str, Any]:
    """Show an attempt."""
    return sending_document(step, attempt) | {
        "started_at": attempt.started_ms,
        "ended_at": attempt.ended_ms,
        "closed_at": attempt.closed_ms,
        "status_code": attempt.status,
        "fault": attempt.fault,
        "verdict": attempt.verdict,
    }


def sending_document(step: str, attempt: Attempt) -> dict[str, Any]:
    """Show an attempt as it is known when it is sent."""
    return {
        "attempt": attempt.number,
        "step": step,
        "leg": attempt.leg,
        "region": attempt.region,
        "node": attempt.node,
        "address": attempt.address,
        "granted_at": attempt.granted_ms,
    }


def _leg_document(step: str, index: int, leg: Leg) -> dict[str, Any]:
    state = leg.state.value.replace(" ", "_")
    return {"step": step, "leg": index, "region": leg.region, "state": state}


def _child_document(child: Child) -> dict[str, Any]:
    return {"place": child.place, "job_id": child.job_id, "status": "duplicate" if child.known else "queued"}


def _delivery_document(entry: OutboxEntry, url: str) -> dict[str, Any]:
    return {
        "webhook_id": entry.id,
        "url": url,
        "state": entry.state,
        "attempts": [
            {
                "at": line.at_ms,
                "status_code": line.status,
                "took_ms": line.took_ms,
                "region": line.region or None,
                "error": line.message or None,
            }
            for line in entry.log
        ],
        "next_at": entry.next_ms if entry.state == "pending" else None,
    }
