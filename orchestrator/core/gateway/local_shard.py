"""The shard that lives in the gateway's own process."""

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from copy import deepcopy
from heapq import nlargest

from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.job_notifier import Watch
from orchestrator.core.peers import Region
from orchestrator.core.shard import Shard
from orchestrator.core.views import (
    DomainView,
    Numbers,
    PaceSource,
    Redelivered,
    RegionNumbers,
    RegionView,
    TargetNumbers,
)
from orchestrator.domain.course import Course
from orchestrator.domain.ids import CustomerId, JobId, RegionName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.known_domains import ANY_OTHER
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.overruling import SetPace
from orchestrator.domain.queue_position import QueuePosition
from orchestrator.domain.roles import Caller
from orchestrator.domain.routing import RegionHealth
from orchestrator.domain.usage import DayUsage
from orchestrator.ports.store import DeadFilter
from orchestrator.runtime.process_vitals import process_vitals

TARGETS_NUMBERED = 20
SHARD = "shard"


class LocalShard:
    """A ``ShardClient`` whose messages are method calls."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

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
        if shard.ready:
            return ""
        if not shard.accepting:
            return "the service is starting, or stopping"
        if shard.store.lost:
            return f"the store takes nothing: {shard.store.lost}"
        return "not every region has been heard yet" if shard.peers.regions_up() else "no region takes work"

    def reserve(self, customer: CustomerId, count: int, most: int) -> bool:
        """Keep places for jobs that are about to be stored."""
        return self._shard.ledger.reserve(customer, count, most)

    def release(self, customer: CustomerId, count: int) -> None:
        """Give such places back."""
        self._shard.ledger.release(customer, count)

    def admit(self, job: Job) -> QueuePosition:
        """Queue a job that is on disk; say where it stands."""
        return self._shard.admit(job)

    def count_duplicate(self) -> None:
        """Count a submission whose key was known."""
        self._shard.counters.duplicates += 1

    def learn_secrets(self, customer: CustomerId) -> Awaitable[None]:
        """Know from here on whether a customer signs."""
        return self._shard.signing_secrets.learn(customer)

    def signs(self, customer: CustomerId) -> bool:
        """Whether webhooks are signed. Until a customer's secrets are read there may be some."""
        return self._shard.signing_secrets.known(customer) != ()

    def forget_secrets(self, customer: CustomerId) -> None:
        """A customer's secrets have changed."""
        self._shard.signing_secrets.forget(customer)

    def under_way(self, job_id: JobId) -> tuple[JobState, Course] | None:
        """Say how far a job is that is worked at."""
        return self._shard.under_way(job_id)

    def place(self, job: Job) -> QueuePosition | None:
        """Say where a job waits."""
        return self._shard.place(job)

    def watch(self, job_id: JobId) -> AbstractContextManager[Watch]:
        """Look at a job."""
        return self._shard.board.watch(job_id)

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job, and wait until that is on disk."""
        return await self._shard.cancel(job_id)

    async def redeliver(self, job_id: JobId) -> int:
        """Send a finished job's webhooks again."""
        return await self._shard.redelivery.job(job_id)

    async def redeliver_dead(self, wanted: DeadFilter, most: int) -> Redelivered:
        """Make failed deliveries again."""
        return await self._shard.redelivery.dead(wanted, most)

    def domain(self, name: TargetDomain, caller: Caller) -> DomainView:
        """Show a target as a caller may see it: an admin sees what holds for everybody."""
        limiter, clock = self._shard.targets.domains.look(name), self._shard.clock
        view, whose = self._shard.targets.view(limiter), None if caller.admin else caller.customer
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
            next_start_s=view.next_start_s(whose),
            routes=self._shard.targets.routes.target_health.view(name),
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
        await self._shard.operator.reset(caller, domain)

    async def pause(self, caller: Caller, domain: TargetDomain) -> None:
        """Start nothing at a target."""
        await self._shard.operator.pause(caller, domain)

    async def resume(self, caller: Caller, domain: TargetDomain) -> None:
        """End a pause of the operator's."""
        await self._shard.operator.resume(caller, domain)

    async def set_pace(self, caller: Caller, domain: TargetDomain, pace: SetPace) -> None:
        """Set a target's pace."""
        await self._shard.operator.set_pace(caller, domain, pace)

    async def drain(self, caller: Caller, region: RegionName) -> None:
        """Place nothing new in a region until ``undrain``."""
        await self._shard.drains.drain(caller, region)

    async def undrain(self, caller: Caller, region: RegionName) -> None:
        """Let a region take work again."""
        await self._shard.drains.undrain(caller, region)

    def regions(self) -> tuple[RegionView, ...]:
        """Show every region."""
        return tuple(map(self._region, self._shard.peers.regions()))

    def _region(self, region: Region) -> RegionView:
        took = self._shard.counters.attempt_seconds.get(region.name)
        return RegionView(
            name=region.name,
            health=self._shard.targets.routes.health(region),
            down_s=self._shard.peers.down_s(region.name),
            attempts_open=region.attempts_open,
            bytes_open=region.bytes_open,
            mean_attempt_s=None if took is None else took.mean,
            nodes=tuple(map(self._shard.peers.view, region.nodes)),
            drain=region.drain,
        )

    def default_region(self) -> RegionName | None:
        """Name the region of jobs that name none, if there is one."""
        return self._shard.peers.default()

    def regions_up(self) -> list[RegionName]:
        """Name the regions that take work."""
        return self._shard.peers.regions_up()

    def open_jobs(self, customer: CustomerId) -> int:
        """Count a customer's jobs that have not ended."""
        return self._shard.ledger.open_jobs(customer)

    def unsaved_usage(self, customer: CustomerId) -> list[DayUsage]:
        """Give what a customer used and is not on disk yet."""
        return self._shard.ledger.unsaved(customer)

    def numbers(self) -> Numbers:
        """Count everything."""
        shard, limiters = self._shard, list(self._shard.targets.domains.values())
        busiest = nlargest(TARGETS_NUMBERED, limiters, key=lambda each: each.waiting + each.in_flight)
        return Numbers(
            counters=deepcopy(shard.counters),
            jobs_open=shard.ledger.total_open,
            domains=len(limiters),
            legs_waiting=sum(limiter.waiting for limiter in limiters),
            permits_out=sum(limiter.in_flight for limiter in limiters),
            busiest=tuple(map(self._target_numbers, busiest)),
            attempts_in_flight=len(shard.targets.dispatcher),
            deliveries_in_flight=len(shard.webhooks),
            deliveries_waiting=shard.webhooks.waiting,
            regions=self._region_numbers(),
            actors=self._vitals(),
        )

    def _target_numbers(self, limiter: DomainLimiter) -> TargetNumbers:
        view = self._shard.targets.view(limiter)
        return TargetNumbers(
            limiter.name, limiter.waiting, limiter.in_flight, view.effective(None), view.next_start_s(None)
        )

    def _region_numbers(self) -> tuple[RegionNumbers, ...]:
        open_breakers = self._shard.targets.routes.open_breakers()
        return tuple(
            RegionNumbers(
                region.name,
                takes_work=region.health is RegionHealth.UP and region.drain is None,
                health=self._shard.targets.routes.health(region),
                breakers_open=open_breakers[region.name],
            )
            for region in self._shard.peers.regions()
        )

    def _vitals(self) -> dict[str, dict[str, float]]:
        actors = {SHARD: process_vitals()}
        for peer in self._shard.peers.all():
            actors[peer.address.node] = peer.vitals
        return actors
