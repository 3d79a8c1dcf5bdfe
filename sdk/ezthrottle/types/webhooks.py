"""Webhooks that are still to be delivered, or failed for good, and their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired


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


class WebhookPage(TypedDict):
    """A page of webhooks."""

    deliveries: list[WebhookRecord]
    next_cursor: NotRequired[str | None]


class WebhookSecret(TypedDict):
    """A customer's secrets, masked."""

    customer_id: str
    primary_secret: str
    secondary_secret: str | None
    has_secondary: bool
