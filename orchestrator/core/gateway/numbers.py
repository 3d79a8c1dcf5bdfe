"""What a shard counts, for metrics and for those who look."""

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import chain

from orchestrator.core.shard import Shard
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.views import Numbers, RegionNumbers, TargetNumbers, Totals
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.histogram import SECONDS
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.runtime.process_vitals import process_vitals

TARGETS_NUMBERED = 20
COUNTED_AT_ONCE = 500
"""Targets: a millisecond."""
SHARD = "shard"
NO_ANSWERS = (0,) * (len(SECONDS) + 1)


@dataclass(slots=True)
class _OfTargets:
    """What all targets have to do, and which have most."""

    count: int
    waiting: int = 0
    in_flight: int = 0
    busiest: list[DomainLimiter] = field(default_factory=list)

    def add(self, limiters: Sequence[DomainLimiter]) -> None:
        """Count some more."""
        self.waiting += sum(limiter.waiting for limiter in limiters)
        self.in_flight += sum(limiter.in_flight for limiter in limiters)
        candidates = chain(self.busiest, limiters)
        self.busiest = nlargest(TARGETS_NUMBERED, candidates, key=lambda each: each.waiting + each.in_flight)


class ShardNumbers:
    """Counts what is under way at one shard."""

    def __init__(self, shard: Shard) -> None:
        self._counters = shard.counters
        self._ledger = shard.jobs.ledger
        self._peers = shard.peers
        self._targets = shard.targets
        self._webhooks = shard.webhooks.dispatcher

    def totals(self) -> Totals:
        """Add up what is counted since the shard began."""
        counters = self._counters
        counts = [histogram.counts for histogram in counters.attempt_seconds.values()]
        return Totals(
            accepted=counters.accepted,
            ended=counters.ended.total(),
            failed=counters.ended[JobState.FAILED],
            attempts=counters.attempts.total(),
            answers=tuple(map(sum, zip(NO_ANSWERS, *counts, strict=True))),
        )

    async def count(self) -> Numbers:
        """Count everything. Targets are counted some at a time: all at once would hold up every job."""
        of_targets = await self._of_targets()
        return Numbers(
            counters=deepcopy(self._counters),
            jobs_open=self._ledger.total_open,
            domains=of_targets.count,
            legs_waiting=of_targets.waiting,
            permits_out=of_targets.in_flight,
            busiest=tuple(map(self._of_target, of_targets.busiest)),
            attempts_in_flight=self._targets.attempts_open,
            deliveries_in_flight=len(self._webhooks),
            deliveries_waiting=self._webhooks.waiting,
            regions=self._of_regions(),
            actors=self._vitals(),
        )

    async def _of_targets(self) -> _OfTargets:
        limiters = list(self._targets.domains.values())
        found = _OfTargets(count=len(limiters))
        for begin in range(0, len(limiters), COUNTED_AT_ONCE):
            found.add(limiters[begin : begin + COUNTED_AT_ONCE])
            await asyncio.sleep(0)
        return found

    def _of_target(self, limiter: DomainLimiter) -> TargetNumbers:
        view = self._targets.view(limiter)
        return TargetNumbers(
            limiter.name, limiter.waiting, limiter.in_flight, view.effective(None), view.next_start_s(None)
        )

    def _of_regions(self) -> tuple[RegionNumbers, ...]:
        open_breakers = self._targets.open_breakers()
        return tuple(
            RegionNumbers(
                region.name,
                takes_work=region.health is RegionHealth.UP and region.drain is None,
                health=self._targets.health(region),
                breakers_open=open_breakers[region.name],
            )
            for region in self._peers.regions()
        )

    def _vitals(self) -> dict[str, dict[str, float]]:
        actors = {SHARD: process_vitals()}
        for peer in self._peers.all():
            actors[peer.address.node] = peer.vitals
        return actors
