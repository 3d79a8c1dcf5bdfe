"""Jobs as the service keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

JobState = Literal["scheduled", "queued", "running", "success", "failed", "cancelled"]
EndState = Literal["success", "failed", "cancelled"]
DeliveryState = Literal["none", "pending", "quorum_met", "delivered", "failed"]


class HttpResponse(TypedDict):
    """A target's answer."""

    status_code: int
    headers: dict[str, str]
    body: str
    body_encoding: NotRequired[Literal["base64"]]
    """Where the body is no text."""
    truncated: NotRequired[bool]
    headers_truncated: NotRequired[bool]
    ran_in: NotRequired[str]
    """Of a fan-out: the region that it came from."""


class JobError(TypedDict):
    """Why a job failed."""

    code: str
    message: str


class Result(TypedDict):
    """What became of a job, as its webhooks tell it."""

    job_id: str
    idempotent_key: str
    status: Literal["success", "failed"]
    response: HttpResponse | None
    metadata: dict[str, Any]
    region: str | None
    attempts: int
    step: str
    error: JobError | None
    responses: NotRequired[dict[str, HttpResponse]]


class Leg(TypedDict):
    """A region's part in a job."""

    step: str
    leg: int
    region: str
    state: str


class Attempt(TypedDict):
    """One request to the target."""

    attempt: int
    step: str
    leg: int
    region: str
    node: str | None
    address: str | None
    granted_at: int | None
    started_at: int | None
    ended_at: int | None
    closed_at: int | None
    status_code: int | None
    fault: str | None
    verdict: str | None


class Delivery(TypedDict):
    """A webhook of a job, and every attempt at it."""

    webhook_id: str
    url: str
    state: str
    attempts: list[dict[str, Any]]
    next_at: int | None


class Timeline(TypedDict):
    """What happened to a job."""

    legs: list[Leg]
    attempts: list[Attempt]
    deliveries: list[Delivery]
    attempts_made: NotRequired[int]
    retries: NotRequired[int]
    reroutes: NotRequired[int]
    children: NotRequired[list[dict[str, Any]]]


class Request(TypedDict):
    """What a job asks for, credentials masked."""

    url: str
    method: str
    headers: dict[str, str]
    body_bytes: int
    body: NotRequired[str | None]
    body_encoding: NotRequired[Literal["base64"]]


class ListedJob(TypedDict):
    """A job as a line of a list."""

    job_id: str
    state: JobState
    delivery: DeliveryState
    idempotent_key: str
    accepted_at: int
    ended_at: int | None
    domain: NotRequired[str]


class Job(ListedJob):
    """A job as the service keeps it."""

    position: int | None
    estimated_start_at: int | None
    result: Result | None
    timeline: Timeline
    metadata: NotRequired[dict[str, Any] | None]
    request: NotRequired[Request | None]
    fallbacks: NotRequired[list[dict[str, Any]]]
    webhooks: NotRequired[list[dict[str, Any]]]
    forgotten: NotRequired[bool]
    damaged: NotRequired[bool]


class EndedJob(TypedDict):
    """A job that has ended, with its result; `result` is None only where it is kept no more (`forgotten`)."""

    job_id: str
    state: EndState
    delivery: DeliveryState
    idempotent_key: str
    accepted_at: int
    ended_at: int
    result: Result
    timeline: Timeline
    position: None
    estimated_start_at: int | None
    domain: NotRequired[str]
    metadata: NotRequired[dict[str, Any] | None]
    request: NotRequired[Request | None]
    fallbacks: NotRequired[list[dict[str, Any]]]
    webhooks: NotRequired[list[dict[str, Any]]]
    forgotten: NotRequired[bool]
    damaged: NotRequired[bool]


class JobPage(TypedDict):
    """A page of jobs."""

    jobs: list[ListedJob]
    next_cursor: str | None


class Said(TypedDict):
    """What was done."""

    status: str
    message: NotRequired[str]


class Cancelled(TypedDict):
    """The answer to a cancellation."""

    job_id: str
    status: Literal["cancelled"]


class ManyJobs(TypedDict):
    """What was done with many jobs."""

    status: Literal["cancelled", "replayed", "dry_run"]
    jobs: int
    skipped: NotRequired[int]
    next_cursor: NotRequired[str | None]


class ErrorField(TypedDict):
    """What to correct."""

    field: str
    message: str
