"""What the core shows of itself through its gateway: records that hold no live part of it."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from orchestrator.core.counters import Counters
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.cluster.placement import Placement
from orchestrator.domain.health.breaker import BreakerState, Cause
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.ids import CustomerId, JobId, NodeName, RegionName, TargetDomain
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.active_limits import ActiveLimit
from orchestrator.domain.pace.effective_pace import EffectivePace
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.ports.store import Duplicate, JobCursor, JobSummary, OutboxEntry, PendingEndpoint, StoredJob
from orchestrator.ports.store_numbers import StoreNumbers


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """The job is on disk. ``wait_s`` estimates the time until its start, infinite while nobody knows."""

    job_id: JobId
    state: JobState
    racing: bool
    idempotent_key: str
    queued_at_ms: int
    position: int
    wait_s: float
    warnings: list[str]


class KnownAlready(Struct, frozen=True, kw_only=True):
    """The key is taken by an earlier job."""

    duplicate: Duplicate
    idempotent_key: str
    warnings: list[str]


Taken = Acknowledgement | KnownAlready


class JobView(Struct, frozen=True, kw_only=True):
    """A job at ``now_ms``. ``place`` is None where it does not wait in a queue."""

    stored: StoredJob
    place: QueuePosition | None
    now_ms: int


class JobRemains(Struct, frozen=True, kw_only=True):
    """What is left of a job whose request and answer are past their keeping, or, where it is ``damaged``,
    can't be read any more. ``result`` is what can be of the latter.
    """

    summary: JobSummary
    damaged: bool = False
    result: bytes | None = None


class Done(Struct, frozen=True):
    """How many jobs fitted, with how many of them it was done, and where to go on; None where that was all.

    What fitted and was not done had ended meanwhile, is past its keeping, or was replayed so before.
    """

    fitting: int
    done: int
    next: JobCursor | None


class Redelivered(Struct, frozen=True):
    """How many deliveries are made again; ``last_ms`` is the Unix ms of the last one's first attempt."""

    count: int
    last_ms: int
    more: bool


class PendingDeliveries(Struct, frozen=True):
    """To whom a customer's deliveries are still to be made, and a page of them."""

    endpoints: tuple[PendingEndpoint, ...]
    deliveries: tuple[OutboxEntry, ...]


class ReceiverView(Struct, frozen=True, kw_only=True):
    """How a receiver took its customer's webhooks since the shard began: ``taken`` of so many attempts; times
    are those of the answers (s), None before any.
    """

    endpoint: TargetDomain
    attempts: int
    taken: int
    p50_s: float | None
    p99_s: float | None


class UsageView(Struct, frozen=True):
    """What a customer has open now, and used by day, the oldest first; days without use are left out."""

    customer: CustomerId
    open_jobs: int
    days: tuple[DayUsage, ...]


class CustomerView(Struct, frozen=True, kw_only=True):
    """A customer as operators see one: the plans of the valid keys, how many those are, and in which hour any
    key was last used (its start, Unix ms).
    """

    customer: CustomerId
    plans: tuple[str, ...]
    keys: int
    used_ms: int | None
    open_jobs: int


class NodeView(Struct, frozen=True, kw_only=True):
    """One node of a region. ``heard_s`` counts the seconds since a heartbeat of its came in, ``reached_s``
    those since it heard a reply; None where that never was. ``reason`` says why it takes no work.
    ``only_named``: it takes only jobs that name its region.
    """

    name: NodeName
    health: RegionHealth
    placement: Placement | None
    only_named: bool
    heard_s: float | None
    reached_s: float | None
    reason: str


class RegionView(Struct, frozen=True, kw_only=True):
    """A region. It is suspect as well where it reaches nothing that others reach. ``down_s`` counts the
    seconds for which it has been down, ``bytes_open`` those of the requests that its executor has.
    """

    name: RegionName
    health: RegionHealth
    down_s: float
    attempts_open: int
    bytes_open: int
    mean_attempt_s: float | None
    nodes: tuple[NodeView, ...]
    drain: Drain | None

    @property
    def takes_jobs(self) -> bool:
        """Whether new work is placed there."""
        return self.health is RegionHealth.UP and self.drain is None

    @property
    def reason(self) -> str:
        """Why it takes nothing new, in words; empty where it does."""
        drains = ["it drains: an operator has taken it out of service"] if self.drain else []
        reasons = dict.fromkeys(node.reason for node in self.nodes if node.reason)
        return "; ".join([*drains, *(reasons if self.health is not RegionHealth.UP else ())])


class RouteView(Struct, frozen=True):
    """One region's way to one target; ``cause`` opened its breaker. Times are None before any answer."""

    breaker: BreakerState
    cause: Cause | None
    answers: int
    failures: int
    latency_s: float | None
    late_after_s: float | None


class PaceSource(StrEnum):
    """Who set a pace."""

    DEFAULT = "default"
    OPERATOR = "operator"
    TARGET = "target"


class DomainView(Struct, frozen=True, kw_only=True):
    """A target as one caller may see it, at ``now`` (monotonic s) and ``now_ms``. ``effective`` and
    ``next_start_s`` (infinite while nobody knows) are the caller's; ``stated`` is the pace that was set,
    refusals and waits apart. ``longest`` are the customers with the most jobs that wait, for an operator
    alone; ``starts`` counts the requests that began while the target was known.
    """

    name: TargetDomain
    now: float
    now_ms: int
    effective: EffectivePace
    stated: Pace
    stated_by: PaceSource
    overruling: Overruling
    signals: tuple[ActiveLimit, ...]
    account_queues: bool
    in_flight: int
    waiting: int
    waiting_yours: int
    longest: tuple[tuple[CustomerId, int], ...]
    starts: int
    next_start_s: float
    routes: Mapping[RegionName, RouteView]

    def unix_ms(self, until: float) -> int:
        """Say when a monotonic moment of the core's is, in Unix ms."""
        return self.now_ms + int((until - self.now) * 1000)


class DomainPage(Struct, frozen=True):
    """Some targets by name; ``more``: others follow the last of them."""

    domains: tuple[DomainView, ...]
    more: bool


class TargetNumbers(Struct, frozen=True):
    """What one target has to do, and the pace that holds there."""

    name: TargetDomain
    waiting: int
    in_flight: int
    effective: EffectivePace
    next_start_s: float


class RegionNumbers(Struct, frozen=True):
    """A region: whether it ``takes_work``, what it is judged to be, and how many breakers are not closed."""

    name: RegionName
    takes_work: bool
    health: RegionHealth
    breakers_open: int


class Totals(Struct, frozen=True, kw_only=True):
    """What is counted since the shard began, over all regions: it is always at hand. ``answers`` are the
    attempts by how long they took, as a histogram's counts.
    """

    accepted: int
    ended: int
    failed: int
    attempts: int
    answers: tuple[int, ...]


class Numbers(Struct, frozen=True, kw_only=True):
    """What is counted since the shard began, and how much there is now. ``busiest`` are the targets with the
    most to do; ``actors`` is what each process says of itself, by name.
    """

    counters: Counters
    jobs_open: int
    domains: int
    legs_waiting: int
    permits_out: int
    busiest: tuple[TargetNumbers, ...]
    attempts_in_flight: int
    deliveries_in_flight: int
    deliveries_waiting: int
    regions: tuple[RegionNumbers, ...]
    actors: Mapping[str, Mapping[str, float]]
    store: StoreNumbers | None = None
    ready: bool = False
