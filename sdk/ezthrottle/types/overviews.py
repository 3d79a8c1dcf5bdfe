"""How the service stands."""

from __future__ import annotations

from typing import Any, TypedDict


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
    """Where a node of a region runs, or why it does not. ``heard_s`` and ``reached_s`` are the seconds since
    its last message, and since the service's last one to it. ``only_named``: it takes only jobs that name its
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
