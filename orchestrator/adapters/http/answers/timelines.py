"""What happened to a job."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from orchestrator.adapters.http.answers.common import Count, Status, UnixMs, left_out
from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.webhooks.fanout import DeliveryState


class Leg(BaseModel):
    """A region's part in a job."""

    step: str
    leg: Count
    region: str
    state: Literal["waiting", "under_way", "won", "ended", "cancelled", "skipped"]


class Attempt(BaseModel):
    """One request to the target."""

    attempt: Annotated[int, Field(ge=1)]
    step: str
    leg: Count
    region: str
    node: str | None
    address: str | None
    granted_at: UnixMs
    started_at: UnixMs | None
    ended_at: UnixMs | None
    closed_at: UnixMs | None
    status_code: Status | None
    fault: Fault | None
    verdict: Verdict | None


class DeliveryAttempt(BaseModel):
    """One request to a receiver."""

    at: UnixMs
    status_code: Status | None
    took_ms: Count
    region: str | None
    error: str | None


class Delivery(BaseModel):
    """A webhook of a job, and every attempt at it."""

    webhook_id: str
    url: str
    state: DeliveryState
    attempts: list[DeliveryAttempt]
    next_at: UnixMs | None


class Child(BaseModel):
    """A job that another one's end spawned."""

    place: Literal["on_success", "on_failure"]
    job_id: str
    status: Literal["queued", "duplicate"]


class Timeline(BaseModel):
    """What happened to a job."""

    legs: list[Leg]
    attempts: list[Attempt]
    deliveries: list[Delivery]
    attempts_made: Count = left_out()
    retries: Count = left_out()
    reroutes: Count = left_out()
    children: list[Child] = left_out()
