"""What goes into a submission besides the job's own fields, and what the service answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from ezthrottle.types.jobs import JobState

if TYPE_CHECKING:
    from typing_extensions import NotRequired

ExecutionMode = Literal["race", "fanout", "hedge"]
RegionPolicy = Literal["fallback", "strict"]
Guarantee = Literal["at_least_once", "at_most_once"]
SubmissionStatus = Literal["queued", "racing", "scheduled", "duplicate"]


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
