"""The shard's counts as Prometheus metrics."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.core.peers import WEBHOOKS
from orchestrator.core.shard import Shard
from orchestrator.domain.routing import RegionHealth


class ShardCollector(Collector):
    """Reads the shard when it is scraped: counting costs nothing between scrapes."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def collect(self) -> Iterator[Metric]:
        """Give every metric."""
        yield from self._jobs()
        yield from self._attempts()
        yield from self._deliveries()
        yield from self._peers()

    def _jobs(self) -> Iterator[Metric]:
        tally = self._shard.tally
        accepted = CounterMetricFamily("ezthrottle_jobs_accepted", "Jobs committed and acknowledged")
        accepted.add_metric([], tally.accepted)
        yield accepted
        duplicates = CounterMetricFamily("ezthrottle_jobs_duplicate", "Submissions whose key was known")
        duplicates.add_metric([], tally.duplicates)
        yield duplicates
        ended = CounterMetricFamily("ezthrottle_jobs_ended", "Jobs that ended", labels=["state"])
        for state, count in tally.ended.items():
            ended.add_metric([state], count)
        yield ended
        waiting = sum(domain.waiting for domain in self._shard.domains.values())
        yield GaugeMetricFamily("ezthrottle_legs_waiting", "Legs queued for a permit", value=waiting)
        yield GaugeMetricFamily("ezthrottle_domains", "Target domains known", value=len(self._shard.domains))

    def _attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "ezthrottle_attempts", "Attempts that ended", labels=["region", "outcome"]
        )
        for (region, outcome), count in self._shard.tally.attempts.items():
            attempts.add_metric([region, outcome], count)
        yield attempts
        in_flight = len(self._shard.dispatcher)
        yield GaugeMetricFamily("ezthrottle_attempts_in_flight", "Attempts at executors", value=in_flight)

    def _deliveries(self) -> Iterator[Metric]:
        made = CounterMetricFamily(
            "ezthrottle_delivery_attempts", "Webhook attempts, by the state they left", labels=["state"]
        )
        for state, count in self._shard.tally.deliveries.items():
            made.add_metric([state], count)
        yield made
        in_flight = len(self._shard.courier)
        yield GaugeMetricFamily("ezthrottle_deliveries_in_flight", "Webhooks being sent", value=in_flight)
        waiting = self._shard.courier.waiting
        yield GaugeMetricFamily("ezthrottle_deliveries_waiting", "Webhooks in line", value=waiting)

    def _peers(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("ezthrottle_region_up", "1 where the region takes work", labels=["region"])
        for peer in self._shard.peers.all():
            if peer.name != WEBHOOKS:
                up.add_metric([peer.name], peer.health is RegionHealth.UP)
        yield up


def render_metrics(shard: Shard) -> bytes:
    """Write the metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ShardCollector(shard))
    return generate_latest(registry)
