"""What a shard counts, for metrics and for those who look."""

from copy import deepcopy
from heapq import nlargest

from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.shard import Shard
from orchestrator.core.views import Numbers, RegionNumbers, TargetNumbers
from orchestrator.domain.routing import RegionHealth
from orchestrator.runtime.process_vitals import process_vitals

TARGETS_NUMBERED = 20
SHARD = "shard"


class ShardNumbers:
    """Counts what is under way at one shard."""

    def __init__(self, shard: Shard) -> None:
        self._counters = shard.counters
        self._ledger = shard.jobs.ledger
        self._peers = shard.peers
        self._targets = shard.targets
        self._webhooks = shard.webhooks.dispatcher

    def count(self) -> Numbers:
        """Count everything."""
        limiters = list(self._targets.domains.values())
        busiest = nlargest(TARGETS_NUMBERED, limiters, key=lambda each: each.waiting + each.in_flight)
        return Numbers(
            counters=deepcopy(self._counters),
            jobs_open=self._ledger.total_open,
            domains=len(limiters),
            legs_waiting=sum(limiter.waiting for limiter in limiters),
            permits_out=sum(limiter.in_flight for limiter in limiters),
            busiest=tuple(map(self._of_target, busiest)),
            attempts_in_flight=self._targets.attempts_open,
            deliveries_in_flight=len(self._webhooks),
            deliveries_waiting=self._webhooks.waiting,
            regions=self._of_regions(),
            actors=self._vitals(),
        )

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
