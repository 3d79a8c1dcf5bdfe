"""What a customer asks for: one job, as accepted."""

from base64 import b64decode
from collections.abc import Collection
from enum import StrEnum
from sys import getsizeof
from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import AccountId, CustomerId, JobId, RegionName, TargetDomain
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.requests.accounts import account_of
from orchestrator.domain.requests.path_class import PathClass, path_class

DEFAULT_DEADLINE_MS = 7 * 24 * 3600 * 1000
DEFAULT_TIMEOUT_MS = 30_000
DEFAULT_PRIORITY = 5
SPEC_BYTES = 600
"""Of a spec's records in memory, without what they hold."""
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class BodyEncoding(StrEnum):
    """How a body stands in ``JobSpec.body`` where it is not the text itself."""

    BASE64 = "base64"


class RetryPolicy(Struct, frozen=True, kw_only=True, array_like=True):
    """How often a job is repeated in a region or moved to another, and on which status codes."""

    max_retries: int = 3
    max_reroutes: int = 2
    retry_codes: frozenset[int] = frozenset({429, 503})
    reroute_codes: frozenset[int] = frozenset({500, 502, 504})


class HedgePolicy(Struct, frozen=True, kw_only=True, array_like=True):
    """An answer to a hedge is late when it takes longer than ``quantile`` (0 to 1) of its target's do.
    ``budget`` is the most further legs per answer.
    """

    quantile: float = 0.95
    budget: float = 0.1


DEFAULT_HEDGE = HedgePolicy()


class Webhook(Struct, frozen=True, kw_only=True, array_like=True):
    """A receiver of the result. Only voters count towards the quorum."""

    url: str
    regions: tuple[RegionName, ...] = ()
    has_quorum_vote: bool = True


class TriggerKind(StrEnum):
    """What sends a job on to its fallback."""

    ANY = "any"
    """Any failure of the step before it."""
    ON_ERROR = "on_error"
    """One of certain status codes."""
    ON_TIMEOUT = "on_timeout"
    """Time since the first start of the step before it; then both run."""


class Trigger(Struct, frozen=True, kw_only=True, array_like=True):
    """When a fallback begins. ``codes`` and ``timeout_ms`` belong to their kinds."""

    kind: TriggerKind = TriggerKind.ANY
    codes: frozenset[int] = frozenset()
    timeout_ms: int = 0

    def meets(self, codes: Collection[int | None], *, timed_out: bool) -> bool:
        """Whether the fallback begins after a step that ended with these statuses, or for want of time."""
        match self.kind:
            case TriggerKind.ANY:
                return True
            case TriggerKind.ON_ERROR:
                return not self.codes.isdisjoint(codes)
            case TriggerKind.ON_TIMEOUT:
                return timed_out
            case _:
                assert_never(self.kind)


class JobSpec(Struct, frozen=True, kw_only=True):
    """A job as validated. ``retry_policy`` is None where the customer gave none, which is not the
    same as giving the default one: see ``domain.execution.retry``. Times are ms, Unix ms where absolute.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    body_encoding: BodyEncoding | None = None
    metadata: dict[str, Any]
    webhooks: tuple[Webhook, ...] = ()
    webhook_quorum: int = 1
    regions: tuple[RegionName, ...]
    region_policy: RegionPolicy = RegionPolicy.FALLBACK
    execution_mode: ExecutionMode = ExecutionMode.RACE
    retry_policy: RetryPolicy | None = None
    on_failure_timeout_ms: int | None = None
    idempotent_key: str | None = None
    retry_at: int | None = None
    priority: int = DEFAULT_PRIORITY
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    deadline_ms: int = DEFAULT_DEADLINE_MS
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    cost: float = 1.0
    account: str | None = None
    hedge: HedgePolicy = DEFAULT_HEDGE
    fallback: "Fallback | None" = None
    on_success: "JobSpec | None" = None
    on_failure: "JobSpec | None" = None

    @property
    def content(self) -> bytes | None:
        """The body as it is sent."""
        if self.body is None:
            return None
        return b64decode(self.body) if self.body_encoding is BodyEncoding.BASE64 else self.body.encode()

    @property
    def steps(self) -> "tuple[JobSpec, ...]":
        """The job's own request and those of its fallbacks, in the order of their nesting."""
        return (self, *(self.fallback.spec.steps if self.fallback else ()))

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """What begins each of ``steps`` after the first."""
        return (self.fallback.trigger, *self.fallback.spec.triggers) if self.fallback else ()

    def parts(self) -> "list[tuple[str, JobSpec]]":
        """List the spec and every one nested in it, each with the dotted path of its fields."""
        if self.fallback is None and not self.has_children:
            # Most jobs, and each asks several times on its way.
            return [("", self)]
        nested = (
            ("fallback_job", self.fallback.spec if self.fallback else None),
            ("on_success", self.on_success),
            ("on_failure", self.on_failure),
        )
        inner = [(f"{name}.{path}", part) for name, spec in nested if spec for path, part in spec.parts()]
        return [("", self), *inner]

    @property
    def has_children(self) -> bool:
        """Whether a job of its own follows its end."""
        return self.on_success is not None or self.on_failure is not None

    @property
    def has_webhooks(self) -> bool:
        """Whether anybody is told how it ends, or how what is nested in it does."""
        return any(part.webhooks for _, part in self.parts())

    @property
    def idempotent_method(self) -> bool:
        """Whether repeating the request is harmless by its method alone (RFC 9110, 9.2.2)."""
        return self.method in IDEMPOTENT_METHODS

    @property
    def path_class(self) -> PathClass:
        """Which requests are like its own."""
        return path_class(self.method, self.url)

    @property
    def racing(self) -> bool:
        """Whether several regions run against each other."""
        conduct = self.execution_mode.conduct
        return len(self.regions) > 1 and conduct.together and not conduct.tells_all

    @property
    def redundant(self) -> bool:
        """Whether several regions may execute it though one success is enough."""
        return len(self.regions) > 1 and not self.execution_mode.conduct.tells_all


class Fallback(Struct, frozen=True, array_like=True):
    """A step of the same job that begins when its trigger matches how the step before it went."""

    trigger: Trigger
    spec: JobSpec


class Job(Struct, frozen=True, kw_only=True):
    """An accepted job: its spec, and what the service gave it. ``traceparent`` is what its submission said of
    the trace that it belongs to, as ``domain.trace_context`` reads that.
    """

    id: JobId
    customer: CustomerId
    domain: TargetDomain
    idempotent_key: str
    accepted_ms: int
    spec: JobSpec
    traceparent: str | None = None

    @property
    def begins_ms(self) -> int:
        """Unix ms from which its time limits count."""
        return max(self.accepted_ms, self.spec.retry_at or 0)

    @property
    def times_out(self) -> bool:
        """Whether ``on_failure_timeout_ms`` ends the job before ``deadline_ms`` would."""
        return (self.spec.on_failure_timeout_ms or self.spec.deadline_ms) < self.spec.deadline_ms

    @property
    def deadline_at_ms(self) -> int:
        """Unix ms after which the job ends ``failed``."""
        limits = (self.spec.deadline_ms, self.spec.on_failure_timeout_ms or self.spec.deadline_ms)
        return self.begins_ms + min(limits)

    @property
    def account(self) -> AccountId | None:
        """The account at the target that its own request is made with."""
        return account_of(self.customer, self.spec.account, self.spec.headers, self.spec.url)

    @property
    def order_key(self) -> int:
        """Place in its account's queue, lowest first: a minute a priority step, so nothing starves."""
        return self.begins_ms - self.spec.priority * 60_000


def with_one_guarantee(spec: JobSpec) -> JobSpec:
    """Give all steps of a job the strictest guarantee that one of them asks for: it is the job's."""
    fallback = spec.fallback
    if fallback is None or all(step.guarantee is spec.guarantee for step in spec.steps):
        return spec
    inner = with_one_guarantee(replace(fallback.spec, guarantee=Guarantee.AT_MOST_ONCE))
    return replace(spec, guarantee=Guarantee.AT_MOST_ONCE, fallback=replace(fallback, spec=inner))


def without_payload(job: Job) -> Job:
    """Leave out what may be large: what stays says whose the job is, and where it stands in its queue."""
    spec = job.spec
    bare = JobSpec(
        url=spec.url, metadata={}, regions=spec.regions, retry_at=spec.retry_at, priority=spec.priority
    )
    return replace(job, spec=bare)


def held_bytes(spec: JobSpec) -> int:
    """Estimate the bytes that a spec takes in memory, everything nested in it included."""
    size = SPEC_BYTES + getsizeof(spec.url) + _value_bytes(spec.metadata) + _value_bytes(spec.body)
    size += sum(getsizeof(name) + getsizeof(value) for name, value in spec.headers)
    size += sum(getsizeof(webhook.url) for webhook in spec.webhooks)
    return size + sum(map(held_bytes, _nested(spec)))


def body_bytes(spec: JobSpec) -> int:
    """Say how many bytes the bodies of a spec take in memory, those nested in it included."""
    own = 0 if spec.body is None else getsizeof(spec.body)
    if spec.fallback is None and not spec.has_children:
        return own
    return own + sum(map(body_bytes, _nested(spec)))


def bodiless(spec: JobSpec) -> JobSpec:
    """Leave out all bodies, those nested in it included: no rule looks at one."""
    fallback = spec.fallback
    return replace(
        spec,
        body=None,
        fallback=fallback and replace(fallback, spec=bodiless(fallback.spec)),
        on_success=spec.on_success and bodiless(spec.on_success),
        on_failure=spec.on_failure and bodiless(spec.on_failure),
    )


def _nested(spec: JobSpec) -> list[JobSpec]:
    inner = (spec.fallback.spec if spec.fallback else None, spec.on_success, spec.on_failure)
    return [part for part in inner if part is not None]


def _value_bytes(value: Any) -> int:
    inner = 0
    if isinstance(value, dict):
        inner = sum(getsizeof(key) + _value_bytes(item) for key, item in value.items())
    elif isinstance(value, list):
        inner = sum(map(_value_bytes, value))
    return getsizeof(value) + inner
