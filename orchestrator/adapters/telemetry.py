"""What every actor counts, as Prometheus metrics, merged at the gateway.

Labels are bounded: regions and enum members, and of the targets only those with the most to do.
"""

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from orchestrator.core.views import Numbers
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.histogram import Histogram
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.store_numbers import StoreNumbers
from orchestrator.runtime.version import VERSION

_OPEN_METRICS = "application/openmetrics-text"
_BUILD = {"version": VERSION, "python": platform.python_version()}
_ACTOR_COUNTS = (
    ("cpu_s", "ezthrottle_actor_cpu_seconds", "CPU time that the actor's process used"),
    ("batches_sent", "ezthrottle_actor_batches_sent", "Batches that the actor sent to the shard"),
    ("messages_sent", "ezthrottle_actor_messages_sent", "Messages in them"),
)


class NumbersCollector(Collector):
    """Shows numbers that were taken when it was scraped: between scrapes nothing is done for it."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Give every metric."""
        yield InfoMetricFamily("ezthrottle_build", "The version that runs", value=_BUILD)
        yield GaugeMetricFamily(
            "ezthrottle_ready", "1 while /readyz answers 200", value=float(self._numbers.ready)
        )
        yield from self._promises()
        yield from self._jobs()
        yield from self._domains()
        yield from self._visits()
        yield from self._attempts()
        yield from self._deliveries()
        yield from self._regions()
        yield from self._batches()
        yield from self._actors()

    def _promises(self) -> Iterator[Metric]:
        """Show what the recording rules in deploy/monitoring judge the service by."""
        counters = self._numbers.counters
        yield _histogram(
            "ezthrottle_acknowledge_seconds",
            "From a submission that was read to its place on disk",
            counters.acknowledged_in,
        )
        yield _histogram(
            "ezthrottle_start_delay_seconds",
            "From the grant of a permit to the first byte that it let out",
            counters.start_delay,
        )
        yield _histogram(
            "ezthrottle_delivery_delay_seconds",
            "From a job's end until a receiver took its result, the first time",
            counters.delivery_delay,
        )

    def _jobs(self) -> Iterator[Metric]:
        counters = self._numbers.counters
        yield _counter("ezthrottle_jobs_accepted", "Jobs committed and acknowledged", counters.accepted)
        yield _counter("ezthrottle_jobs_duplicate", "Submissions whose key was known", counters.duplicates)
        ended = CounterMetricFamily("ezthrottle_jobs_ended", "Jobs that ended", labels=["state"])
        for state in (state for state in JobState if state.ended):
            ended.add_metric([state], counters.ended[state])
        yield ended
        open_ = self._numbers.jobs_open
        yield GaugeMetricFamily("ezthrottle_jobs_open", "Jobs waiting or under way", value=open_)

    def _domains(self) -> Iterator[Metric]:
        numbers = self._numbers
        waiting, out = numbers.legs_waiting, numbers.permits_out
        yield GaugeMetricFamily("ezthrottle_legs_waiting", "Legs queued for a permit", value=waiting)
        yield GaugeMetricFamily("ezthrottle_domains", "Target domains known", value=numbers.domains)
        yield GaugeMetricFamily("ezthrottle_permits_out", "Permits taken and not given back", value=out)
        yield from _by_domain(numbers)
        throttled = CounterMetricFamily(
            "ezthrottle_answers_429", "Answers of 429 by target; the first of them by name", labels=["domain"]
        )
        for name, count in self._numbers.counters.throttled.items():
            throttled.add_metric([name], count)
        yield throttled

    def _visits(self) -> Iterator[Metric]:
        visits = CounterMetricFamily(
            "ezthrottle_agent_connections", "Connections to the door for agents, by end", labels=["became"]
        )
        for visit, count in self._numbers.counters.visits.items():
            visits.add_metric([visit], count)
        yield visits

    def _attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "ezthrottle_attempts", "Attempts that ended", labels=["region", "outcome"]
        )
        for (region, outcome), count in self._numbers.counters.attempts.items():
            attempts.add_metric([region, outcome], count)
        yield attempts
        in_flight = self._numbers.attempts_in_flight
        yield GaugeMetricFamily("ezthrottle_attempts_in_flight", "Attempts at executors", value=in_flight)
        took = HistogramMetricFamily(
            "ezthrottle_attempt_seconds", "From an attempt's first byte to its end", labels=["region"]
        )
        for region, seconds in self._numbers.counters.attempt_seconds.items():
            took.add_metric([region], _buckets(seconds), seconds.total)
        yield took

    def _deliveries(self) -> Iterator[Metric]:
        made = CounterMetricFamily(
            "ezthrottle_delivery_attempts", "Webhook attempts, by the state they left", labels=["state"]
        )
        # All of them from the start: a rule can't add up what is not there yet.
        for state in DeliveryState:
            made.add_metric([state], self._numbers.counters.deliveries[state])
        yield made
        in_flight = self._numbers.deliveries_in_flight
        yield GaugeMetricFamily("ezthrottle_deliveries_in_flight", "Webhooks being sent", value=in_flight)
        waiting = self._numbers.deliveries_waiting
        yield GaugeMetricFamily("ezthrottle_deliveries_waiting", "Webhooks in line", value=waiting)
        took = self._numbers.counters.delivery_seconds
        yield _histogram("ezthrottle_delivery_seconds", "How long a webhook attempt took", took)

    def _regions(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("ezthrottle_region_up", "1 where the region takes work", labels=["region"])
        health = GaugeMetricFamily(
            "ezthrottle_region_health", "1 for the state that the region is in", labels=["region", "health"]
        )
        for region in self._numbers.regions:
            up.add_metric([region.name], region.takes_work)
            for state in RegionHealth:
                health.add_metric([region.name, state.name.lower()], region.health is state)
        yield up
        yield health
        open_ = GaugeMetricFamily(
            "ezthrottle_breakers_open", "Targets whose breaker is not closed, by region", labels=["region"]
        )
        for region in self._numbers.regions:
            open_.add_metric([region.name], region.breakers_open)
        yield open_

    def _batches(self) -> Iterator[Metric]:
        sizes = self._numbers.counters.batch_messages
        yield _histogram("ezthrottle_batch_messages", "Messages in a batch that reached the shard", sizes)
        yield _histogram(
            "ezthrottle_loop_lag_seconds",
            "How late the shard's event loop comes to what is due",
            self._numbers.counters.loop_lag,
        )
        if self._numbers.store is not None:
            yield from _of_store(self._numbers.store)

    def _actors(self) -> Iterator[Metric]:
        actors = self._numbers.actors
        for key, name, told in _ACTOR_COUNTS:
            family = CounterMetricFamily(name, told, labels=["actor"])
            for actor, vitals in actors.items():
                if key in vitals:
                    family.add_metric([actor], vitals[key])
            yield family
        memory = GaugeMetricFamily("ezthrottle_actor_resident_bytes", "Resident memory", labels=["actor"])
        for actor, vitals in actors.items():
            memory.add_metric([actor], vitals.get("resident_bytes", 0.0))
        yield memory


def render_metrics(numbers: Numbers, accept: str | None) -> tuple[bytes, str]:
    """Write the metrics in Prometheus' text format, or as OpenMetrics, with traces as exemplars, to who
    accepts that; say which media type it is.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NumbersCollector(numbers))
    if _OPEN_METRICS in (accept or ""):
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def _by_domain(numbers: Numbers) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("ezthrottle_domain_waiting", "Legs queued, by target", labels=["domain"])
    out = GaugeMetricFamily("ezthrottle_domain_in_flight", "Permits out, by target", labels=["domain"])
    rps = GaugeMetricFamily(
        "ezthrottle_domain_pace_rps",
        "Starts a second that all that is in force leaves to those that wait, by target",
        labels=["domain"],
    )
    most = GaugeMetricFamily(
        "ezthrottle_domain_max_concurrent", "Requests that may be in flight, by target", labels=["domain"]
    )
    next_s = GaugeMetricFamily(
        "ezthrottle_domain_next_start_seconds",
        "Until the next may start, by target; +Inf while nobody knows",
        labels=["domain"],
    )
    limited = GaugeMetricFamily(
        "ezthrottle_domain_limited_by",
        "1 for the kind of signal that sets the pace, none for the pace to begin with, by target",
        labels=["domain", "kind"],
    )
    for domain in numbers.busiest:
        effective = domain.effective
        waiting.add_metric([domain.name], domain.waiting)
        out.add_metric([domain.name], domain.in_flight)
        rps.add_metric([domain.name], effective.rps)
        most.add_metric([domain.name], effective.max_concurrent)
        next_s.add_metric([domain.name], domain.next_start_s)
        limited.add_metric([domain.name, effective.limit.kind if effective.limit else "none"], 1)
    others = [numbers.counters.OTHER]
    waiting.add_metric(others, numbers.legs_waiting - sum(domain.waiting for domain in numbers.busiest))
    out.add_metric(others, numbers.permits_out - sum(domain.in_flight for domain in numbers.busiest))
    yield from (waiting, out, rps, most, next_s, limited)


def _of_store(store: StoreNumbers) -> Iterator[Metric]:
    yield _histogram("ezthrottle_commit_writes", "Writes that shared a commit", store.commit_writes)
    yield _histogram("ezthrottle_commit_seconds", "How long commits took", store.commit_seconds)
    if store.room is not None:
        for name, told, value in (
            ("ezthrottle_disk_size_bytes", "The disk that the data directory is on", store.room.size_bytes),
            ("ezthrottle_disk_free_bytes", "What is free there", store.room.free_bytes),
            ("ezthrottle_database_bytes", "The database's own file", store.room.database_bytes),
            ("ezthrottle_wal_bytes", "Its write-ahead log", store.room.log_bytes),
        ):
            yield GaugeMetricFamily(name, told, value=value)


def _counter(name: str, told: str, count: int) -> Metric:
    return CounterMetricFamily(name, told, value=count)


def _histogram(name: str, told: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, told, buckets=_buckets(histogram), sum_value=histogram.total)


def _buckets(histogram: Histogram) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    return [
        (bound, count)
        if example is None
        else (bound, count, Exemplar({"trace_id": example.trace_id}, example.value))
        for bound, count, example in histogram.buckets()
    ]
