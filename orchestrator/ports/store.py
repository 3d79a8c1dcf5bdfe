"""The store: where jobs are safe. Every method that answers has committed what it says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from msgspec import Struct

from orchestrator.domain.access.usage import CustomerUsage, DayUsage
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import AccountId, CustomerId, DeliveryId, JobId, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import DeliveryAttempt, DeliveryState, JobDelivery, judge_delivery
from orchestrator.ports.audit import AuditLog
from orchestrator.ports.customers import CustomerStore
from orchestrator.ports.lease_store import LeaseStore
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.region_store import RegionStore
from orchestrator.ports.store_numbers import StoreNumbers
from orchestrator.ports.target_store import TargetStore


class StoreFailure(Exception):
    """The disk did not take it: full, broken, or held by somebody else. Nothing was stored."""


class Fenced(StoreFailure):
    """The shard has a later epoch: another has taken it over. Nothing of this one's is stored any more."""


class StillBeating(Exception):
    """Whoever has the shard has beaten since one looked: it was not taken over."""


class DamagedError(Exception):
    """What the disk gives back is not what was written: bits rotted, or somebody changed them. ``result`` is
    what can still be read of a job's end, its webhook's body.
    """

    def __init__(self, what: str, *, result: bytes | None = None) -> None:
        super().__init__(what)
        self.result = result


class Accepted(Struct, frozen=True):
    """A submission was stored."""

    job: Job


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The key is known: nothing was stored."""

    job_id: JobId
    state: JobState
    payload_mismatch: bool
    begins_ms: int = field(default=0, compare=False)
    """From when on the first job is not scheduled any more, whatever the disk still says."""


class WaitingJob(Struct, frozen=True, kw_only=True):
    """A job that has not ended, as an index entry: enough to queue it without its payload."""

    id: JobId
    customer: CustomerId
    domain: TargetDomain
    state: JobState
    order_key: int
    not_before_ms: int
    account: AccountId | None = None
    cost: float = 1.0
    damage: str | None = None
    """What of its row can't be read."""


class StoredJob(Struct, frozen=True, kw_only=True):
    """A job with everything that is known of it."""

    job: Job
    state: JobState
    course: Course | None
    result: bytes | None
    """The webhook's body, once the job has ended."""
    ended_ms: int | None
    deliveries: tuple["OutboxEntry", ...]
    """One for each of the job's webhooks, in their order; none before the job has ended."""
    result_bytes: int = 0
    """Its size, where ``result`` was left out as well."""
    damage: str | None = None
    """What of its row can't be read; its request can, or there would be no such record."""

    @property
    def delivery(self) -> JobDelivery:
        """Judge the deliveries together."""
        return delivery_of(self.job, self.state, self.deliveries)


def require_open(job_id: JobId, state: JobState) -> None:
    """Look whether a job is under way: its end is written whole, or not at all.

    Raises:
        ValueError: It has ended.
    """
    if state.ended:
        msg = f"{job_id} is {state}: an end is written with its result"
        raise ValueError(msg)


def delivery_of(job: Job, state: JobState, deliveries: Sequence["OutboxEntry"]) -> JobDelivery:
    """Judge a job's deliveries; before its end there is nothing to deliver yet."""
    voters = [webhook.has_quorum_vote for webhook in job.spec.webhooks]
    return judge_delivery(voters, job.spec.webhook_quorum, state, [entry.state for entry in deliveries])


class JobSummary(Struct, frozen=True, kw_only=True):
    """A job as lists show it: what is known without opening its payload. Times are Unix ms."""

    id: JobId
    customer: CustomerId
    domain: TargetDomain
    state: JobState
    delivery: JobDelivery
    idempotent_key: str
    accepted_ms: int
    ended_ms: int | None
    forgotten: bool
    """Its request and answer are past their keeping."""


class JobFilter(Struct, frozen=True, kw_only=True):
    """Which jobs are meant: what is empty or None means all. Unix ms of acceptance. An idempotent key is a
    customer's own: it is asked for with its customer only.
    """

    customer: CustomerId | None
    states: frozenset[JobState] = frozenset()
    domain: TargetDomain | None = None
    deliveries: frozenset[JobDelivery] = frozenset()
    code: str | None = None
    """Why it failed, or that it was cancelled."""
    since_ms: int = 0
    until_ms: int = 2**62
    idempotent_key: str | None = None

    @property
    def owner(self) -> CustomerId:
        """Whose jobs are meant, where they are one customer's.

        Raises:
            ValueError: They are everybody's.
        """
        if self.customer is None:
            raise ValueError("what is done with many jobs is done with one customer's")
        return self.customer


class JobCursor(Struct, frozen=True):
    """Where a page of jobs ended: the next one goes on with what is older than this job."""

    accepted_ms: int
    job_id: JobId


class JobPage(Struct, frozen=True):
    """Some jobs, newest first. The next page goes on behind ``next``, which is None on the last one."""

    jobs: tuple[JobSummary, ...]
    next: JobCursor | None


class JobCount(Struct, frozen=True):
    """How many jobs fit; ``more``: perhaps others do, which were not looked at."""

    jobs: int
    more: bool


class OutboxEntry(Struct, frozen=True, kw_only=True):
    """One receiver of one job's result. Times are Unix ms."""

    id: DeliveryId
    job_id: JobId
    customer: CustomerId
    index: int
    endpoint: TargetDomain
    """The receiver's host and port: what has places in flight and a breaker."""
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    """Offsets of the schedule that are used up, those that were passed over included."""
    first_ms: int | None = None
    next_ms: int
    """When it is tried next; once it is over, when that was."""
    log: tuple[DeliveryAttempt, ...] = ()
    """Each attempt, oldest first."""


class DeadFilter(Struct, frozen=True, kw_only=True):
    """Which of a customer's failed deliveries are meant: all, one, an endpoint's, some time's (Unix ms)."""

    customer: CustomerId
    id: DeliveryId | None = None
    endpoint: TargetDomain | None = None
    since_ms: int = 0
    until_ms: int = 2**62


class DeadLetterCursor(Struct, frozen=True):
    """Where a page of failed deliveries ended: the next one goes on with what failed before this."""

    at_ms: int
    id: DeliveryId


class PendingCursor(Struct, frozen=True):
    """Where a page of pending deliveries ended: the next one goes on behind this."""

    endpoint: TargetDomain
    at_ms: int
    id: DeliveryId


class PendingEndpoint(Struct, frozen=True, kw_only=True):
    """A receiver to whom a customer's deliveries are still to be made. Unix ms."""

    endpoint: TargetDomain
    deliveries: int
    failing: int
    """Those of them of which an attempt has failed."""
    next_ms: int
    """When the first of them is tried next; it may have passed for what waits in line."""
    last: DeliveryAttempt | None
    """The latest attempt, where one has failed."""


class News(Struct, frozen=True):
    """What others have written for a shard: jobs that have not ended, and deliveries still to be made. Some
    may be known already.
    """

    jobs: Sequence[WaitingJob]
    deliveries: Sequence[OutboxEntry]


class Ending(Struct, frozen=True, kw_only=True):
    """How a job ended: written in one transaction with its outbox."""

    job_id: JobId
    customer: CustomerId
    state: JobState
    course: Course
    result: bytes
    ended_ms: int
    outbox: tuple[OutboxEntry, ...]
    key_freed: bool
    """No attempt was ever written: its idempotency key may be used again at once."""
    children: tuple[Job, ...] = ()
    """Jobs that this end spawns; one whose key is known is not stored."""
    code: str | None = None
    """Why it failed, or that it was cancelled: what lists are filtered by."""
    marked: bool = False
    """It may have a mark, which is of no use any more."""


class JobStore(LeaseStore, TargetStore, RegionStore, Protocol):
    """The work of one shard: jobs on their way and what is still to be told, beside its lease, what targets
    have taught and what operators have said.

    From ``begin_epoch`` on all that is written is written in that epoch. Every call that waits may raise
    StoreFailure: Fenced, which is one, where the shard has a later epoch. What work under way can't go on
    without (``end``, ``save_course``, ``mark``, ``save_delivery``) is tried for a while before others.
    """

    async def submit(self, job: Job) -> Accepted | Duplicate:
        """Store a job unless its customer's key is known.

        Raises:
            StoreFailure: It could not be written.
        """

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Accepted | Duplicate]:
        """Store several jobs in one transaction, each unless its key is known.

        Raises:
            StoreFailure: They could not be written; none was.

        """

    async def duplicates_of(self, jobs: Sequence[Job]) -> Sequence[Duplicate | None]:
        """Say of each job, without storing it, whether its key is known."""

    async def waiting(self) -> Sequence[WaitingJob]:
        """List every job that has not ended."""

    async def news(self) -> News:
        """List what was committed for this shard's slots since one last looked, or since it was taken,
        however late that commit came: what was announced, and what of that was lost.
        """

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole; None once its request is forgotten."""

    async def look(self, job_id: JobId) -> StoredJob | None:
        """Read one job without what may be large: a result of more than LARGE_BYTES, of which the size is
        told, and the answers that its course keeps.
        """

    async def result(self, job_id: JobId) -> bytes | None:
        """Read a job's result; None where it has none, or it is forgotten."""

    async def overdue(self, now_ms: int, most: int, skip: int = 0) -> Sequence[JobId]:
        """List unended jobs whose deadline has passed, by deadline; ``skip`` of them are passed over."""

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is; rides the next commit, nobody waits for it.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """

    def note_timeline(self, job_id: JobId, customer: CustomerId, course: Course) -> None:
        """Save what was still learned about a job that has ended; rides the next commit."""

    async def save_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is, and wait for the commit.

        Raises:
            ValueError: It has ended: that is for ``end`` to write.
        """

    async def mark(self, mark: Mark) -> bool:
        """Write down, before an attempt of a job that may be sent once goes out, that it may have been sent,
        in place of the mark of the job's attempt before it. Say whether it may go: not where the job has
        ended.
        """

    async def marks(self) -> dict[JobId, Mark]:
        """List the marks of jobs that have not ended."""

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """End a job, fill its outbox and store its children, in one transaction; say what became of
        each child.
        """

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended."""

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again, in one transaction."""

    def note_usage(self, customer: CustomerId, more: DayUsage) -> None:
        """Add to what a customer used on a day; rides the next commit."""

    async def purge(self, now_ms: int) -> None:
        """Forget what is past its keeping."""


class HistoryStore(Protocol):
    """What was, for people: jobs, deliveries and counts, each read in its customer's turn and never in the
    way of what a shard reads. Every call may raise StoreFailure.
    """

    async def look(self, job_id: JobId, reader: CustomerId) -> StoredJob | None:
        """Read one job for a customer, without what may be large; see ``JobStore.look``."""

    async def result(self, job_id: JobId, reader: CustomerId) -> bytes | None:
        """Read a job's result for a customer; None where it has none, or it is forgotten."""

    async def jobs_of(
        self,
        wanted: JobFilter,
        *,
        now_ms: int,
        most: int,
        before: JobCursor | None = None,
        within_s: float = inf,
    ) -> JobPage:
        """List jobs, newest first. A page is full where there is more, unless it takes longer than
        ``within_s`` to find that: then ``next`` is where to look on.
        """

    async def count_jobs(
        self, wanted: JobFilter, *, now_ms: int, most: int, within_s: float = inf
    ) -> JobCount:
        """Count jobs, no further than ``most``, and for no longer than ``within_s``."""

    async def summary(
        self, job_id: JobId, now_ms: int, reader: CustomerId | None = None
    ) -> JobSummary | None:
        """Read one job as lists show it; it can be read for longer than its payload is kept."""

    async def domains_of(
        self, customer: CustomerId | None, most: int, after: str = ""
    ) -> Sequence[TargetDomain]:
        """List the targets that a customer has called, by name, those that come ``after`` one; of None, all
        that anybody has called, or that the operator spoke of.
        """

    async def usage_of(self, customer: CustomerId, since_day: int) -> Sequence[DayUsage]:
        """List what a customer used, by day, from a day on."""

    async def most_used(self, since_day: int, most: int) -> Sequence[CustomerUsage]:
        """Add up what each customer used from a day on; who had the most jobs accepted comes first."""

    async def dead_deliveries(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None = None
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that failed for good, newest first."""

    async def pending_endpoints(
        self, customer: CustomerId, *, most: int, endpoint: TargetDomain | None = None
    ) -> Sequence[PendingEndpoint]:
        """List whom a customer's deliveries still go to, the one with the most of them first."""

    async def pending_deliveries(
        self,
        customer: CustomerId,
        *,
        most: int,
        endpoint: TargetDomain | None = None,
        after: PendingCursor | None = None,
    ) -> Sequence[OutboxEntry]:
        """List a customer's deliveries that are still to be made, by endpoint, the soonest first."""


class Store(AsyncCloseable, Protocol):
    """One set of rows, opened, and the four views of it."""

    @property
    def jobs(self) -> JobStore:
        """The work of the shard."""

    @property
    def history(self) -> HistoryStore:
        """What people look up."""

    @property
    def customers(self) -> CustomerStore:
        """Customers, keys and secrets."""

    @property
    def audit(self) -> AuditLog:
        """What operators did."""

    @property
    def lost(self) -> str | None:
        """Name what was deleted or replaced under the store, which takes nothing from then on; else None."""

    @property
    def refused(self) -> str:
        """Why nothing could be written when it was last tried; empty where it could. It is tried again."""

    def numbers(self) -> StoreNumbers:
        """Count its commits, and what room there is."""

    async def close(self) -> None:
        """Commit what waits and close."""
