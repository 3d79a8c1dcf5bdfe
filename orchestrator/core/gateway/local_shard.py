"""The shard that lives in the gateway's own process."""

from collections.abc import Awaitable
from contextlib import AbstractContextManager

from orchestrator.core.gateway.numbers import ShardNumbers
from orchestrator.core.jobs.job_notifier import Watch
from orchestrator.core.regions.peer import Region
from orchestrator.core.shard import Shard
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.views import (
    DomainView,
    Numbers,
    PaceSource,
    ReceiverView,
    Redelivered,
    RegionView,
    Totals,
)
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.execution.course import Course
from orchestrator.domain.ids import CustomerId, JobId, RegionName, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.pace.known_domains import ANY_OTHER
from orchestrator.domain.pace.overruling import SetPace
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.ports.store import DeadFilter

QUEUES_SHOWN = 10
"""Customers of a target's queue that an operator is shown."""


class LocalShard:
    """A ``ShardClient`` whose messages are method calls."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._clock = shard.clock
        self._jobs = shard.jobs
        self._targets = shard.targets
        self._peers = shard.peers
        self._operator = shard.operator
        self._drains = shard.drains
        self._secrets = shard.webhooks.secrets
        self._receivers = shard.webhooks.outbox.receivers
        self._redelivery = shard.webhooks.redelivery
        self._counters = shard.counters
        self._numbers = ShardNumbers(shard)

    @property
    def epoch(self) -> int:
        """Which life of the shard answers; 0 before its first."""
        return self._shard.epoch

    @property
    def accepting(self) -> bool:
        """Whether submissions are taken."""
        return self._shard.accepting

    @property
    def why_not_ready(self) -> str:
        """Why no work can be taken and done, in words; empty where it can."""
        shard = self._shard
        if not shard.store.lost and (refused := shard.store.refused):
            return f"the disk takes nothing: {refused}"
        if shard.ready:
            return ""
        if not shard.accepting:
            return "the service is starting, or stopping"
        if shard.store.lost:
            return f"the store takes nothing: {shard.store.lost}"
        return "not every region has been heard yet" if shard.peers.regions_up() else "no region takes work"

    def reserve(self, customer: CustomerId, count: int, most: int) -> bool:
        """Keep places for jobs that are about to be stored."""
        return self._jobs.ledger.reserve(customer, count, most)

    def release(self, customer: CustomerId, count: int) -> None:
        """Give such places back."""
        self._jobs.ledger.release(customer, count)

    def admit(self, job: Job) -> QueuePosition:
        """Queue a job that is on disk; say where it stands."""
        self._shard.tracing.submitted(job, self._clock.unix_ms())
        return self._jobs.admit(job)

    def count_duplicate(self) -> None:
        """Count a submission whose key was known."""
        self._counters.duplicates += 1

    def count_acknowledged(self, seconds: float) -> None:
        """Count how long it took until a submission was on disk."""
        self._counters.acknowledged_in.observe(seconds)

    def learn_secrets(self, customer: CustomerId) -> Awaitable[None]:
        """Know from here on whether a customer signs."""
        return self._secrets.learn(customer)

    def signs(self, customer: CustomerId) -> bool:
        """Whether webhooks are signed. Until a customer's secrets are read there may be some."""
        return self._secrets.known(customer) != ()

    def forget_secrets(self, customer: CustomerId) -> None:
        """A customer's secrets have changed."""
        self._secrets.forget(customer)

    def under_way(self, job_id: JobId) -> tuple[JobState, Course] | None:
        """Say how far a job is that is worked at."""
        return self._jobs.under_way(job_id)

    def place(self, job: Job) -> QueuePosition | None:
        """Say where a job waits."""
        return self._jobs.place(job)

    def watch(self, job_id: JobId) -> AbstractContextManager[Watch]:
        """Look at a job."""
        return self._jobs.board.watch(job_id)

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job, and wait until that is on disk."""
        return await self._jobs.cancel(job_id)

    def receivers(self, customer: CustomerId, most: int) -> tuple[ReceiverView, ...]:
        """Show how a customer's receivers take webhooks, the worst first."""
        return self._receivers.of(customer, most)

    async def redeliver(self, job_id: JobId) -> int:
        """Send a finished job's webhooks again."""
        return await self._redelivery.job(job_id)

    async def redeliver_dead(self, wanted: DeadFilter, most: int) -> Redelivered:
        """Make failed deliveries again."""
        return await self._redelivery.dead(wanted, most)

    def domain(self, name: TargetDomain, caller: Caller) -> DomainView:
        """Show a target as a caller may see it: an admin sees what holds for everybody."""
        limiter, clock = self._targets.look(name), self._clock
        view, whose = self._targets.view(limiter), None if caller.admin else caller.customer
        return DomainView(
            name=name,
            now=clock.now(),
            now_ms=clock.unix_ms(),
            effective=view.effective(whose),
            stated=limiter.pace,
            stated_by=self._stated_by(limiter, operator=view.overruling.pace is not None),
            overruling=view.overruling,
            signals=tuple(view.signals(whose)),
            account_queues=limiter.account_queues,
            in_flight=limiter.in_flight,
            waiting=limiter.waiting,
            waiting_yours=limiter.waiting_of(caller.customer),
            longest=tuple(view.queue.longest(QUEUES_SHOWN)) if caller.admin else (),
            starts=view.starts,
            next_start_s=view.next_start_s(whose),
            routes=self._targets.ways(name),
        )

    def _stated_by(self, limiter: DomainLimiter, *, operator: bool) -> PaceSource:
        if operator:
            return PaceSource.OPERATOR
        if limiter.steered:
            return PaceSource.TARGET
        unknown = self._shard.options.known.policy(limiter.name) is ANY_OTHER
        return PaceSource.DEFAULT if unknown else PaceSource.OPERATOR

    async def reset(self, caller: Caller, domain: TargetDomain) -> None:
        """Forget what was learned of a target."""
        await self._operator.reset(caller, domain)

    async def pause(self, caller: Caller, domain: TargetDomain) -> None:
        """Start nothing at a target."""
        await self._operator.pause(caller, domain)

    async def resume(self, caller: Caller, domain: TargetDomain) -> None:
        """End a pause of the operator's."""
        await self._operator.resume(caller, domain)

    async def set_pace(self, caller: Caller, domain: TargetDomain, pace: SetPace) -> None:
        """Set a target's pace."""
        await self._operator.set_pace(caller, domain, pace)

    async def drain(self, caller: Caller, region: RegionName) -> None:
        """Place nothing new in a region until ``undrain``."""
        await self._drains.drain(caller, region)

    async def undrain(self, caller: Caller, region: RegionName) -> None:
        """Let a region take work again."""
        await self._drains.undrain(caller, region)

    def regions(self) -> tuple[RegionView, ...]:
        """Show every region."""
        return tuple(map(self._region, self._peers.regions()))

    def _region(self, region: Region) -> RegionView:
        took = self._counters.attempt_seconds.get(region.name)
        return RegionView(
            name=region.name,
            health=self._targets.health(region),
            down_s=self._peers.down_s(region.name),
            attempts_open=region.attempts_open,
            bytes_open=region.bytes_open,
            mean_attempt_s=None if took is None else took.mean,
            nodes=tuple(map(self._peers.view, region.nodes)),
            drain=region.drain,
        )

    def default_region(self) -> RegionName | None:
        """Name the region of jobs that name none, if there is one."""
        return self._peers.default()

    def regions_up(self) -> list[RegionName]:
        """Name the regions that take work."""
        return self._peers.regions_up()

    def open_jobs(self, customer: CustomerId) -> int:
        """Count a customer's jobs that have not ended."""
        return self._jobs.ledger.open_jobs(customer)

    @property
    def plans(self) -> tuple[str, ...]:
        """The plans that the operator's table names, by name."""
        return self._shard.options.known.plans

    def unsaved_usage(self, customer: CustomerId) -> list[DayUsage]:
        """Give what a customer used and is not on disk yet."""
        return self._jobs.ledger.unsaved(customer)

    def totals(self) -> Totals:
        """Give what is counted since the shard began."""
        return self._numbers.totals()

    async def numbers(self) -> Numbers:
        """Count everything."""
        return await self._numbers.count()
