"""What happened in one simulated run, as plain records. Times are virtual seconds."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import Struct

from orchestrator.domain.execution.marks import Mark, Owner
from orchestrator.domain.ids import (
    AttemptId,
    CustomerId,
    DeliveryId,
    JobId,
    RegionName,
    ShardName,
    TargetDomain,
)
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.ports.store import StoredJob
from tests.simulation.lessons import LimiterLog
from tests.simulation.queues import QueueLog


class Acknowledged(Struct, frozen=True):
    """A client was told that its submission is safe; ``known`` where it was called a duplicate."""

    at: float
    customer: CustomerId
    key: str
    job_id: JobId
    known: bool


class CancelAnswered(Struct, frozen=True):
    """An owner asked for a job's end; ``took`` where that was done, and was not too late."""

    at: float
    job_id: JobId
    took: bool


class Grant(Struct, frozen=True):
    """A shard let an attempt of a leg start: it posted a RunAttempt, or a GoAttempt where ``again``.
    ``taken_at`` is when its permit was taken.
    """

    at: float
    taken_at: float
    attempt: AttemptId
    job_id: JobId
    number: int
    step: int
    leg: int
    region: RegionName
    domain: TargetDomain
    url: str
    again: bool


class QuotaTold(Struct, frozen=True):
    """What an account has left of a quota, for ``reset_s`` more from ``at`` on."""

    at: float
    requests: int
    tokens: float
    reset_s: float

    @property
    def until(self) -> float:
        """When it is whole again."""
        return self.at + self.reset_s


@dataclass(slots=True, kw_only=True)
class TargetRequest:
    """A line of a target's log, from the first byte on. ``answered_at`` is when the answer was complete."""

    domain: TargetDomain
    region: RegionName
    job_id: JobId
    number: int
    method: str
    url: str
    body: bytes | None
    first_byte_at: float
    answered_at: float | None = None
    status: int | None = None
    retry_after_s: float | None = None
    quota: QuotaTold | None = None
    closed_at: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it was answered with 2xx."""
        return self.status is not None and 200 <= self.status < 300


class AnswerHeard(Struct, frozen=True):
    """The shard took an answer in; ``rps`` and ``max_concurrent`` are what the target meant by it."""

    at: float
    domain: TargetDomain
    job_id: JobId
    number: int
    url: str
    status: int
    rps: float | None
    max_concurrent: int | None
    retry_after_s: float | None = None
    quota: QuotaTold | None = None

    @property
    def steers(self) -> bool:
        """Whether it says anything about pace."""
        return self.rps is not None or self.max_concurrent is not None


class Commit(Struct, frozen=True):
    """A job's state on disk changed."""

    at: float
    job_id: JobId
    state: JobState


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A line of a webhook receiver's log."""

    at: float
    url: str
    webhook_id: DeliveryId
    body: bytes
    status: int | None = None
    answered_at: float | None = None


class Frozen(Struct, frozen=True):
    """An actor's process did nothing for a while; connections stayed open."""

    actor: str
    since: float
    until: float


class ShardBegan(Struct, frozen=True):
    """A shard took up the store; ``paces`` are those that it found there."""

    at: float
    shard: ShardName
    epoch: int
    paces: dict[TargetDomain, Learned]


class MarkWritten(Struct, frozen=True):
    """A mark was committed; ``owner`` is who had its slot then."""

    at: float
    mark: Mark
    owner: Owner


@dataclass(slots=True)
class History:
    """All logs of a run, and what was left at its end."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """Keys of submissions that nobody acknowledged before the run ended."""
    cancels: list[CancelAnswered] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    requests: list[TargetRequest] = field(default_factory=list)
    answers: list[AnswerHeard] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    lessons: list[LimiterLog] = field(default_factory=list)
    """One for each life of a target's limiter."""
    queues: list[QueueLog] = field(default_factory=list)
    """One for each life of a target's limiter."""
    shards: list[ShardBegan] = field(default_factory=list)
    marks: list[MarkWritten] = field(default_factory=list)
    crashes: list[tuple[float, str]] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """Exceptions that nothing in the scenario explains."""
    leaks: list[str] = field(default_factory=list)
    submitted: dict[JobId, Job] = field(default_factory=dict)
    """Every job that reached the disk."""
    final: dict[JobId, StoredJob] = field(default_factory=dict)
    listed: dict[JobId, JobDelivery] = field(default_factory=dict)
    """How lists show that their deliveries stand together."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often each thing happened that a run may go without."""
    calm_from: float = 0.0
    ended_at: float = 0.0

    def digest(self) -> str:
        """Fingerprint everything that was logged: a replay gives the same."""
        logs = (
            self.acknowledged,
            self.cancels,
            self.grants,
            self.requests,
            self.answers,
            self.commits,
            self.deliveries,
        )
        return hashlib.sha256(repr((logs, self.crashes, self.leaks, self.ended_at)).encode()).hexdigest()

    def frozen_s(self, actor: str, since: float, until: float) -> float:
        """Sum up how long an actor was frozen between two times."""
        spans = (min(f.until, until) - max(f.since, since) for f in self.frozen if f.actor == actor)
        return sum(span for span in spans if span > 0)

    def heeded(self) -> Iterator[AnswerHeard]:
        """List the answers that may bind others: a refusal of a path class in trouble does not."""
        contained = {
            (log.domain, lesson.ticket.job_id, lesson.at)
            for log in self.lessons
            for lesson in log.lessons
            if lesson.contained
        }
        return (a for a in self.answers if (a.domain, a.job_id, a.at) not in contained)

    def requests_of(self, job_id: JobId) -> list[TargetRequest]:
        """List what targets saw of a job, in order of first bytes."""
        return [request for request in self.requests if request.job_id == job_id]

    def ended(self) -> Iterator[StoredJob]:
        """List the jobs that have ended."""
        return (stored for stored in self.final.values() if stored.state.ended)
