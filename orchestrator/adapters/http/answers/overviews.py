"""Answers about usage, regions, targets, and how the service is."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from orchestrator.adapters.http.answers.common import Count, Cursor, Seconds, UnixMs, left_out
from orchestrator.core.views import PaceSource
from orchestrator.domain.cluster.placement import PlacementState
from orchestrator.domain.health.breaker import BreakerState
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.pace.active_limits import ActiveLimitKind, Scope


class UsageDay(BaseModel):
    """What was used on a day, UTC."""

    date: Annotated[str, Field(json_schema_extra={"format": "date"})]
    accepted: Count
    success: Count
    failed: Count
    cancelled: Count
    attempts: Count


class Usage(BaseModel):
    """What a customer uses."""

    customer_id: str
    open_jobs: Count
    open_jobs_limit: Count
    days: list[UsageDay]


class CustomersUsage(BaseModel):
    """What a customer used in all."""

    customer_id: str
    accepted: Count
    success: Count
    failed: Count
    cancelled: Count
    attempts: Count


class MostUsed(BaseModel):
    """Who used most on the last days, UTC."""

    days: Count
    customers: list[CustomersUsage]


class RegionNode(BaseModel):
    """Where a node of a region runs, or why it does not."""

    node: str
    health: RegionHealth
    reason: str | None
    only_named: Annotated[bool, Field(description="It takes only jobs that name its region")]
    host: str | None
    address: str | None
    version: str | None
    placement: PlacementState | None
    placement_since: UnixMs | None
    heard_s: Annotated[float | None, Field(description="s since its last message")]
    reached_s: Annotated[float | None, Field(description="s since the service's last message to it")]


class Region(BaseModel):
    """A region's health, and why it is not up."""

    region: str
    health: RegionHealth
    draining_since: UnixMs | None
    down_s: Seconds
    attempts_open: Count
    bytes_open: Count
    mean_attempt_s: Seconds | None
    reason: str | None
    nodes: list[RegionNode]


class Regions(BaseModel):
    """Every region, and that of jobs that name none."""

    default_region: str
    regions: list[Region]


class Pace(BaseModel):
    """How fast a target is asked, and who says so. 0 while nothing may start."""

    rps: Annotated[float, Field(ge=0, description="Starts a second")]
    max_concurrent: Annotated[int, Field(ge=0, description="Requests in flight")]
    set_by: PaceSource


class Signal(BaseModel):
    """Something that bounds a target's pace, whom it binds, and until when."""

    kind: ActiveLimitKind
    source: str | None
    binds: Scope
    account: str | None
    until: UnixMs | None
    rps: float | None
    max_concurrent: int | None
    unit: str | None
    remaining: float | None
    customer: str | None = left_out("Shown to admins alone")


class OperatorsWord(BaseModel):
    """What the operator set in place of what the target says; by whom is shown to admins alone."""

    paused_at: UnixMs | None
    rps: float | None
    max_concurrent: int | None
    until: UnixMs | None
    set_at: UnixMs | None
    paused_by: str | None = left_out()
    set_by: str | None = left_out()


class Way(BaseModel):
    """A region's way to a target."""

    breaker: BreakerState
    opened_by: int | str | None
    answers: Count
    failures: Count
    latency_s: Seconds | None
    late_after_s: Seconds | None


class Domain(BaseModel):
    """A target: its pace and why, its queue, and the ways to it."""

    domain: str
    pace: Pace
    limited_by: Signal | None
    stated: Pace
    operator: OperatorsWord | None
    signals: list[Signal]
    paused_until: UnixMs | None
    account_queues: bool
    in_flight: Count
    waiting: Count
    waiting_yours: Count
    waiting_most: dict[str, Count] | None = left_out("By customer, the longest queues; shown to admins alone")
    next_start_in_s: Annotated[float | None, Field(description="s; null while nobody knows")]
    regions: dict[str, Way]


class DomainPage(BaseModel):
    """A page of targets, by name."""

    domains: list[Domain]
    next_cursor: Cursor


class Health(BaseModel):
    """The process lives, and of which version it is."""

    status: Literal["ok"]
    version: str


class Readiness(BaseModel):
    """Work can be taken and done, in these regions."""

    status: Literal["ready"]
    regions: list[str]
    details: list[Region]
