"""Which jobs are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from ezthrottle.types.jobs import DeliveryState


class JobFilters(TypedDict, total=False):
    """The filters that `list_jobs`, `cancel_jobs` and `replay_jobs` take by name. None is no filter."""

    domain: str | None
    """A target: its host, with its port unless that is 443."""
    delivery: DeliveryState | Sequence[DeliveryState] | None
    """How far its webhooks are; several mean any of them."""
    code: str | None
    """Of a failure, such as "timeout"."""
    since: int | None
    """Accepted then or later, Unix ms."""
    until: int | None
    """Accepted before then, Unix ms."""
    idempotent_key: str | None
