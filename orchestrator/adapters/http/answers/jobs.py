"""Answers about jobs."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel

from orchestrator.adapters.http.answers.common import Count, Cursor, Problem, Status, UnixMs, left_out
from orchestrator.adapters.http.answers.timelines import Timeline
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import JobDelivery


class Acknowledgement(BaseModel):
    """A job that was taken: it is on disk."""

    job_id: str
    status: Literal["queued", "racing", "scheduled"]
    idempotent_key: str
    queued_at: UnixMs
    position: Annotated[int | None, Field(description="In its target's queue, from 1")]
    estimated_processing_time: Annotated[int, Field(ge=0)] | None = left_out("Whole s until its start")
    warnings: list[str] = left_out()


class Duplicate(BaseModel):
    """A submission whose key is known: ``job_id`` is the first job with it."""

    job_id: str
    status: Literal["duplicate"]
    state: JobState
    idempotent_key: str
    payload_mismatch: bool = left_out("Whether the first one asked for something else")
    warnings: list[str] = left_out()


class Replayed(Acknowledgement):
    """A new job, and of which it is one."""

    replay_of: str


class ReplayKnown(Duplicate):
    """A replay whose key is known."""

    replay_of: str


class BatchAnswer(RootModel[Acknowledgement | Duplicate | Problem]):
    """What one of a batch would have been answered alone."""


class BatchAnswers(BaseModel):
    """Of each job, in order, what it would have been answered alone."""

    answers: list[BatchAnswer]


class HttpAnswer(BaseModel):
    """What a target answered."""

    status_code: Status
    headers: dict[str, str]
    body: str = left_out("Kept from keys of the role read")
    body_encoding: Literal["base64"] = left_out("Where the body is no text")
    truncated: bool = left_out("Whether the body was cut at the limit")
    headers_truncated: bool = left_out()
    ran_in: str = left_out("Of a fan-out: the region that it came from")


class JobError(BaseModel):
    """Why a job failed: a code for programs, a sentence for people."""

    code: str
    message: str


class JobResult(BaseModel):
    """What became of a job, as its webhooks tell it."""

    job_id: str
    idempotent_key: str
    status: Literal["success", "failed"]
    response: HttpAnswer | None
    metadata: dict[str, Any]
    region: str | None
    attempts: Count
    step: str
    error: JobError | None
    responses: dict[str, HttpAnswer] = left_out("Of a fan-out, by the region that was asked for")


class JobRequest(BaseModel):
    """What a job asks for, credentials masked; its body where ``include=body`` asks for it."""

    url: str
    method: str
    headers: dict[str, str]
    body_bytes: Count
    body: str | None = left_out()
    body_encoding: Literal["base64"] = left_out()


class JobFallback(BaseModel):
    """A step that may follow the first."""

    step: str
    domain: str
    request: JobRequest


class JobWebhook(BaseModel):
    """A receiver of a job's result."""

    url: str
    regions: list[str]
    has_quorum_vote: bool


class ListedJob(BaseModel):
    """A job as a line of a list."""

    job_id: str
    state: JobState
    delivery: JobDelivery
    domain: str
    idempotent_key: str
    accepted_at: UnixMs
    ended_at: UnixMs | None


class Job(ListedJob):
    """A job: what it asks for, and what became of it."""

    metadata: dict[str, Any] | None
    request: JobRequest | None
    fallbacks: list[JobFallback] = left_out()
    webhooks: list[JobWebhook]
    position: Annotated[int, Field(ge=1)] | None
    estimated_start_at: UnixMs | None
    result: JobResult | None
    timeline: Timeline
    forgotten: bool = left_out("Whether its request and answer are past their keeping")
    damaged: bool = left_out("Whether what was stored of it can't be read")


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[ListedJob]
    next_cursor: Cursor


class AnyonesJob(ListedJob):
    """A job as a line of a list of everybody's."""

    customer_id: str


class AnyonesJobPage(BaseModel):
    """A page of everybody's jobs, newest first."""

    jobs: list[AnyonesJob]
    next_cursor: Cursor


class Cancelled(BaseModel):
    """A job that is cancelled."""

    job_id: str
    status: Literal["cancelled"]


class ManyJobs(BaseModel):
    """With how many jobs something was done, or would be, and where to go on."""

    status: Literal["cancelled", "replayed", "dry_run"]
    jobs: Count
    skipped: Count = left_out()
    next_cursor: str | None = left_out()
