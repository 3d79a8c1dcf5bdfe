"""Answers about webhooks and what they are signed with."""

from typing import Literal

from pydantic import BaseModel

from orchestrator.adapters.http.answers.common import Count, Cursor, Status, UnixMs, left_out


class WebhooksAgain(BaseModel):
    """How many webhooks go again."""

    status: Literal["redelivering"]
    deliveries: Count
    job_id: str = left_out("Of one job's")
    last_at: UnixMs = left_out("When the last of them begins")
    more: bool = left_out("Whether there are more than the limit")


class _KnownDelivery(BaseModel):
    webhook_id: str
    job_id: str
    endpoint: str
    attempts: Count
    status_code: Status | None
    error: str | None


class DeadDelivery(_KnownDelivery):
    """A webhook that failed for good."""

    failed_at: UnixMs


class DeadPage(BaseModel):
    """A page of webhooks that failed for good, newest first."""

    deliveries: list[DeadDelivery]
    next_cursor: Cursor


class PendingDelivery(_KnownDelivery):
    """A webhook that is still to be delivered."""

    first_at: UnixMs | None
    next_at: UnixMs


class PendingEndpoint(BaseModel):
    """A receiver, what waits for it, and how its last attempt ended."""

    endpoint: str
    deliveries: Count
    failing: Count
    next_at: UnixMs | None
    last_attempt_at: UnixMs | None
    status_code: Status | None
    error: str | None


class PendingPage(BaseModel):
    """A page of webhooks that are still to be delivered, and their receivers."""

    endpoints: list[PendingEndpoint]
    deliveries: list[PendingDelivery]
    next_cursor: Cursor


class WebhookSecrets(BaseModel):
    """A customer's signing secrets, masked."""

    customer_id: str
    primary_secret: str
    secondary_secret: str | None
    has_secondary: bool
