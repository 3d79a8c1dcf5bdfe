"""Jobs and submissions."""

import json
from math import ceil, isfinite
from typing import Any

from orchestrator.adapters.http.documents.timeline import timeline_document
from orchestrator.adapters.http.large_answers import PLACE_OF_RESULT
from orchestrator.adapters.http.paging import write_cursor
from orchestrator.core.views import Acknowledgement, Done, JobRemains, JobView, KnownAlready, Taken
from orchestrator.domain.execution.course import step_name
from orchestrator.domain.ids import JobId, target_domain
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.lifecycle import JobState, state_shown
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.domain.requests.masking import masked_headers, masked_url
from orchestrator.ports.store import JobPage, JobSummary, StoredJob


def taken_document(taken: Taken, ignored: list[str], now_ms: int) -> dict[str, Any]:
    """Answer a submission; ``ignored`` names fields that nobody knows."""
    if isinstance(taken, KnownAlready):
        return duplicate_document(taken, ignored, now_ms)
    return acknowledgement_document(taken, ignored)


def batch_document(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer a batch: each of its jobs as if it had come alone, in order."""
    return {"answers": answers}


def replayed_document(taken: Taken, first: JobId, now_ms: int) -> dict[str, Any]:
    """Answer a replay: a new job, and of which it is one."""
    return taken_document(taken, [], now_ms) | {"replay_of": first}


def acknowledgement_document(taken: Acknowledgement, ignored: list[str]) -> dict[str, Any]:
    """Answer an accepted submission."""
    racing = taken.racing and taken.state is JobState.QUEUED
    return {
        "job_id": taken.job_id,
        "status": "racing" if racing else taken.state,
        "idempotent_key": taken.idempotent_key,
        "queued_at": taken.queued_at_ms,
        "position": taken.position,
        **_expected(taken.wait_s),
        **_warnings([*taken.warnings, *ignored]),
    }


def duplicate_document(known: KnownAlready, ignored: list[str], now_ms: int) -> dict[str, Any]:
    """Answer a submission whose key is known."""
    first = known.duplicate
    document: dict[str, Any] = {
        "job_id": first.job_id,
        "status": "duplicate",
        "state": state_shown(first.state, first.begins_ms, now_ms),
        "idempotent_key": known.idempotent_key,
    }
    if first.payload_mismatch:
        document["payload_mismatch"] = True
    return document | _warnings([*known.warnings, *ignored])


def job_document(view: JobView, *, with_bodies: bool = False) -> dict[str, Any]:
    """Show a job: what it asks for, every attempt and delivery, and where it waits if it does. Times are Unix
    ms. Credentials are masked; the bodies of its requests are shown to who asks for them.
    """
    stored, spec = view.stored, view.stored.job.spec
    urls = [masked_url(webhook.url) for webhook in spec.webhooks]
    return {
        "job_id": stored.job.id,
        "state": state_shown(stored.state, stored.job.begins_ms, view.now_ms),
        "delivery": stored.delivery,
        "domain": stored.job.domain,
        "metadata": spec.metadata,
        "request": _request_document(spec, with_body=with_bodies),
        **_fallbacks_document(spec, with_bodies=with_bodies),
        "webhooks": [
            {"url": url, "regions": [*webhook.regions], "has_quorum_vote": webhook.has_quorum_vote}
            for url, webhook in zip(urls, spec.webhooks, strict=True)
        ],
        "idempotent_key": stored.job.idempotent_key,
        "accepted_at": stored.job.accepted_ms,
        "ended_at": stored.ended_ms,
        **_waiting_document(stored, view.now_ms, view.place),
        "result": result_document(stored),
        "timeline": timeline_document(stored.course, stored.deliveries, urls),
    }


def result_document(stored: StoredJob) -> Any:
    """Show a job's result, or its place where it is too large to be read for this."""
    if stored.result is None:
        return PLACE_OF_RESULT if stored.result_bytes else None
    return json.loads(stored.result)


def remains_document(remains: JobRemains) -> dict[str, Any]:
    """Show what is left of a job whose request and answer can't be shown any more."""
    document = _forgotten_document(remains.summary)
    if not remains.damaged:
        return document
    result = json.loads(remains.result) if remains.result else None
    return document | {"forgotten": False, "damaged": True, "result": result}


def page_document(page: JobPage) -> dict[str, Any]:
    """Show a page of a list."""
    jobs = [summary_document(job) for job in page.jobs]
    return {"jobs": jobs, "next_cursor": write_cursor(page.next)}


def page_of_all_document(page: JobPage) -> dict[str, Any]:
    """Show a page of a list of all customers' jobs."""
    jobs = [summary_document(job) | {"customer_id": job.customer} for job in page.jobs]
    return {"jobs": jobs, "next_cursor": write_cursor(page.next)}


def cancelled_document(job_id: JobId) -> dict[str, Any]:
    """Say that a job is cancelled."""
    return {"job_id": job_id, "status": "cancelled"}


def done_document(status: str, done: Done) -> dict[str, Any]:
    """Say with how many jobs something was done, and where to go on."""
    return {
        "status": status,
        "jobs": done.done,
        "skipped": done.fitting - done.done,
        "next_cursor": write_cursor(done.next),
    }


def counted_document(count: int) -> dict[str, Any]:
    """Say with how many jobs something would be done."""
    return {"status": "dry_run", "jobs": count}


def _forgotten_document(job: JobSummary) -> dict[str, Any]:
    waits = {"position": None, "estimated_start_at": None}
    asked: dict[str, Any] = {"metadata": None, "request": None, "webhooks": []}
    return (
        summary_document(job)
        | asked
        | waits
        | {"result": None, "timeline": timeline_document(None), "forgotten": True}
    )


def _request_document(spec: JobSpec, *, with_body: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "url": masked_url(spec.url),
        "method": spec.method,
        "headers": masked_headers(spec.headers),
        "body_bytes": len(spec.content or b""),
    }
    if with_body:
        document["body"] = spec.body
        if spec.body_encoding is not None:
            document["body_encoding"] = spec.body_encoding
    return document


def _fallbacks_document(spec: JobSpec, *, with_bodies: bool) -> dict[str, Any]:
    """Show the steps that follow the first, where there are any."""
    steps = [
        {"step": step_name(number), "domain": target_domain(step.url)}
        | {"request": _request_document(step, with_body=with_bodies)}
        for number, step in enumerate(spec.steps)
        if number
    ]
    return {"fallbacks": steps} if steps else {}


def place_document(place: QueuePosition, now_ms: int) -> dict[str, Any]:
    """Show where a job waits, from 1, and when it is likely to start; null while its target is paused."""
    starts_at = now_ms + int(place.wait_s * 1000) if isfinite(place.wait_s) else None
    return {"position": place.position, "estimated_start_at": starts_at}


def _waiting_document(stored: StoredJob, now_ms: int, place: QueuePosition | None) -> dict[str, Any]:
    if place is not None and not stored.state.ended:
        return place_document(place, now_ms)
    later = state_shown(stored.state, stored.job.begins_ms, now_ms) is JobState.SCHEDULED
    return {"position": None, "estimated_start_at": stored.job.begins_ms if later else None}


def summary_document(job: JobSummary) -> dict[str, Any]:
    """Show a job as a line of a list. Times are Unix ms."""
    return {
        "job_id": job.id,
        "state": job.state,
        "delivery": job.delivery,
        "domain": job.domain,
        "idempotent_key": job.idempotent_key,
        "accepted_at": job.accepted_ms,
        "ended_at": job.ended_ms,
    }


def whole_seconds(wait_s: float) -> int:
    """Round a time up. Clients with typed fields read a whole number, and nothing else, as one."""
    return ceil(wait_s)


def _expected(wait_s: float) -> dict[str, int]:
    """Tell how long a job is likely to wait; nothing where nobody knows, as while its target is paused."""
    return {"estimated_processing_time": whole_seconds(wait_s)} if isfinite(wait_s) else {}


def _warnings(warnings: list[str]) -> dict[str, list[str]]:
    return {"warnings": warnings} if warnings else {}
