"""How a job, or a step on this machine, can end."""

from __future__ import annotations

from enum import Enum


class Ending(str, Enum):
    """The ends of a job, as the service and its webhooks name them."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
