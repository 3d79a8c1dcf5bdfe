"""The shapes of what the clients take and return, for type checkers; at run time they are plain dicts.

Times are Unix ms where nothing else is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired

__all__ = [
    "Acknowledgement",
    "Attempt",
    "Cancelled",
    "Delivery",
    "DeliveryState",
    "Domain",
    "DomainPage",
    "EndState",
    "EndedJob",
    "ErrorField",
    "ExecutionMode",
    "Guarantee",
    "Hedge",
    "HttpResponse",
    "Job",
    "JobDict",
    "JobError",
    "JobPage",
    "JobState",
    "Leg",
    "ListedJob",
    "ManyJobs",
    "PendingEndpoint",
    "PendingPage",
    "Region",
    "RegionPolicy",
    "RegionsView",
    "Request",
    "Result",
    "RetryPolicy",
    "Said",
    "StepResult",
    "SubmissionStatus",
    "Timeline",
    "Trigger",
    "Usage",
    "UsageDay",
    "Webhook",
    "WebhookPage",
    "WebhookRecord",
    "WebhookSecret",
    "WebhooksSent",
]

ExecutionMode = Literal["race", "fanout", "hedge"]
RegionPolicy = Literal["fallback", "strict"]
Guarantee = Literal["at_least_once", "at_most_once"]
JobState = Literal["scheduled", "queued", "running", "success", "failed", "cancelled"]
EndState = Literal["success", "failed", "cancelled"]
SubmissionStatus = Literal["queued", "racing", "scheduled", "duplicate"]
DeliveryState = Literal["none", "pending", "quorum_met", "delivered", "failed"]


class Webhook(TypedDict):
    """Where a result goes."""

    url: str
    regions: NotRequired[list[str]]
    has_quorum_vote: NotRequired[bool]


class RetryPolicy(TypedDict, total=False):
    """How often, and on which statuses, a job is repeated or moved to another region."""

    max_retries: int
    max_reroutes: int
    retry_codes: list[int]
    reroute_codes: list[int]


class Hedge(TypedDict, total=False):
    """After what share of its target's answers one is late; the most extra requests, as a share."""

    quantile: float
    budget: float


class Trigger(TypedDict, total=False):
    """When a fallback begins; an empty one matches any failure."""

    type: Literal["any", "on_error", "on_timeout"]
    codes: list[int]
    timeout_ms: int


class JobDict(TypedDict):
    """A job as a dict: the arguments of `submit_job`, by their names."""

    url: str
    method: NotRequired[str]
    headers: NotRequired[dict[str, str]]
    body: NotRequired[str | bytes]
    body_encoding: NotRequired[Literal["base64"]]
    metadata: NotRequired[dict[str, Any]]
    webhooks: NotRequired[list[Webhook]]
    webhook_quorum: NotRequired[int]
    regions: NotRequired[list[str]]
    region_policy: NotRequired[RegionPolicy]
    execution_mode: NotRequired[ExecutionMode]
    retry_policy: NotRequired[RetryPolicy]
    fallback_job: NotRequired[dict[str, Any]]
    on_success: NotRequired[dict[str, Any]]
    on_failure: NotRequired[dict[str, Any]]
    on_failure_timeout_ms: NotRequired[int]
    idempotent_key: NotRequired[str]
    retry_at: NotRequired[int]
    priority: NotRequired[int]
    timeout_ms: NotRequired[int]
    deadline_ms: NotRequired[int]
    guarantee: NotRequired[Guarantee]
    cost: NotRequired[float]
    account: NotRequired[str]
    hedge: NotRequired[Hedge]


class Acknowledgement(TypedDict):
    """The service's answer to a submission."""

    job_id: str
    status: SubmissionStatus
    idempotent_key: str
    state: NotRequired[JobState]
    """Of a duplicate: how far the first job is."""
    payload_mismatch: NotRequired[bool]
    queued_at: NotRequired[int]
    position: NotRequired[int | None]
    estimated_processing_time: NotRequired[float | None]
    """Seconds until its start."""
    warnings: NotRequired[list[str]]


class StepResult(TypedDict):
    """What `execute` returns: the service's answer, or, where `executed_locally`, what became of it here.

    What ended here has no `job_id` and no `idempotent_key`: it is no job.
    """

    status: Literal["queued", "racing", "scheduled", "duplicate", "success", "failed"]
    job_id: str
    idempotent_key: str
    state: NotRequired[JobState]
    payload_mismatch: NotRequired[bool]
    queued_at: NotRequired[int]
    position: NotRequired[int | None]
    estimated_processing_time: NotRequired[float | None]
    warnings: NotRequired[list[str]]
    executed_locally: NotRequired[bool]
    status_code: NotRequired[int]
    response: NotRequired[str]
    error: NotRequired[str]


class HttpResponse(TypedDict):
    """A target's answer."""

    status_code: int
    headers: dict[str, str]
    body: str
    body_encoding: NotRequired[Literal["base64"]]
    """Where the body is no text."""
    truncated: NotRequired[bool]
    headers_truncated: NotRequired[bool]


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
    forgotten: NotRequired[bool]


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
    forgotten: NotRequired[bool]


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


class WebhooksSent(TypedDict):
    """How many webhooks go again."""

    deliveries: int
    job_id: NotRequired[str]
    more: NotRequired[bool]


class WebhookRecord(TypedDict):
    """A webhook that failed, or is still to be delivered; `endpoint` is whom it goes to."""

    webhook_id: str
    job_id: str
    endpoint: str
    attempts: int
    status_code: int | None
    error: str | None
    first_at: NotRequired[int]
    next_at: NotRequired[int]
    failed_at: NotRequired[int]


class PendingEndpoint(TypedDict):
    """A receiver, what waits for it, and how its last attempt ended."""

    endpoint: str
    deliveries: int
    failing: int
    next_at: int | None
    last_attempt_at: int | None
    status_code: int | None
    error: str | None


class PendingPage(TypedDict):
    """A page of webhooks that are still to be delivered."""

    endpoints: list[PendingEndpoint]
    deliveries: list[WebhookRecord]
    next_cursor: str | None


class ManyJobs(TypedDict):
    """What was done with many jobs."""

    status: Literal["cancelled", "replayed", "dry_run"]
    jobs: int
    skipped: NotRequired[int]
    next_cursor: NotRequired[str | None]


class WebhookPage(TypedDict):
    """A page of webhooks."""

    deliveries: list[WebhookRecord]
    next_cursor: NotRequired[str | None]


class UsageDay(TypedDict):
    """What was used on a day, UTC."""

    date: str
    accepted: int
    success: int
    failed: int
    cancelled: int
    attempts: int


class Usage(TypedDict):
    """What a customer uses."""

    customer_id: str
    open_jobs: int
    open_jobs_limit: int
    days: list[UsageDay]


class RegionNode(TypedDict):
    """Where a node of a region runs, or why it does not; ``heard_s`` and ``reached_s`` count the seconds
    since it was heard, and since it heard the service. ``only_named``: it takes only jobs that name its
    region.
    """

    node: str
    health: str
    reason: str | None
    only_named: bool
    host: str | None
    address: str | None
    version: str | None
    placement: str | None
    placement_since: int | None
    heard_s: float | None
    reached_s: float | None


class Region(TypedDict):
    """A region's health, and why it is not up."""

    region: str
    health: str
    down_s: float
    attempts_open: int
    bytes_open: int
    mean_attempt_s: float | None
    reason: str | None
    nodes: list[RegionNode]


class RegionsView(TypedDict):
    """The regions."""

    default_region: str
    regions: list[Region]


class Domain(TypedDict):
    """A target: its pace, its queue, and what holds it back."""

    domain: str
    pace: dict[str, Any] | None
    signals: list[dict[str, Any]]
    in_flight: int
    waiting: int
    waiting_yours: int
    next_start_in_s: float


class DomainPage(TypedDict):
    """A page of targets."""

    domains: list[Domain]
    next_cursor: str | None


class WebhookSecret(TypedDict):
    """A customer's secrets, masked."""

    customer_id: str
    primary_secret: str
    secondary_secret: str | None
    has_secondary: bool


class ErrorField(TypedDict):
    """What to correct."""

    field: str
    message: str
