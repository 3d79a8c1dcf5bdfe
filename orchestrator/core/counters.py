"""What is counted while the shard works: plain numbers, read by whoever publishes them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from orchestrator.domain.execution.course import Course
from orchestrator.domain.histogram import FINE_SECONDS, SIZES, Histogram
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.transport.visits import Visit

THROTTLED_NAMED = 20


@dataclass(slots=True)
class Counters:
    """Counts since this shard began. Keys are bounded: regions, enum members, some targets."""

    OTHER: ClassVar[str] = "other"
    """The name of all targets that have none of their own."""

    accepted: int = 0
    duplicates: int = 0
    ended: Counter[JobState] = field(default_factory=Counter)
    attempts: Counter[tuple[RegionName, str]] = field(default_factory=Counter)
    """By region and how it ended: a status class such as ``2xx``, or a fault."""
    attempt_seconds: dict[RegionName, Histogram] = field(default_factory=dict)
    """How long attempts took from their first byte to their end, by region."""
    start_delay: Histogram = field(default_factory=lambda: Histogram(FINE_SECONDS))
    """From the grant of a permit to the first byte that it let out, s."""
    acknowledged_in: Histogram = field(default_factory=lambda: Histogram(FINE_SECONDS))
    """From a submission that was read to its place on disk, s."""
    loop_lag: Histogram = field(default_factory=lambda: Histogram(FINE_SECONDS))
    """How late the shard's event loop comes to what is due, s."""
    throttled: Counter[str] = field(default_factory=Counter)
    """Answers of 429, by target: the first THROTTLED_NAMED by name, all others under OTHER."""
    deliveries: Counter[DeliveryState] = field(default_factory=Counter)
    """Delivery attempts by the state that they left; ``pending`` ones are tried again."""
    delivery_seconds: Histogram = field(default_factory=Histogram)
    delivery_delay: Histogram = field(default_factory=Histogram)
    """From a job's end until a receiver took its result, s; without what was delivered again."""

    visits: Counter[Visit] = field(default_factory=Counter)
    """Who came to the door for agents, by what became of that."""
    batch_messages: Histogram = field(default_factory=lambda: Histogram(SIZES))

    def answered_429(self, domain: TargetDomain) -> None:
        """Count an answer of 429. Who has a name keeps it: a count that changed names would seem to fall."""
        named = domain in self.throttled or len(self.throttled) < THROTTLED_NAMED
        self.throttled[domain if named else self.OTHER] += 1

    def delivery_took(self, seconds: float, trace_id: str | None) -> None:
        """Count how long a webhook attempt took."""
        self.delivery_seconds.observe(seconds)
        if trace_id is not None:
            self.delivery_seconds.exemplify(seconds, trace_id)

    def delivered_after(self, seconds: float, trace_id: str | None) -> None:
        """Count how long after a job's end a receiver took its result."""
        self.delivery_delay.observe(seconds)
        if trace_id is not None:
            self.delivery_delay.exemplify(seconds, trace_id)

    def attempt_took(self, region: RegionName, seconds: float) -> None:
        """Count how long an attempt took."""
        self.attempt_seconds.setdefault(region, Histogram()).observe(seconds)


def name_trace(counters: Counters, course: Course, trace_id: str) -> None:
    """Name the trace of a job beside what was counted of its attempts."""
    for attempt in course.attempts:
        if attempt.started_ms is None or attempt.ended_ms is None:
            continue
        counters.start_delay.exemplify((attempt.started_ms - attempt.granted_ms) / 1000, trace_id)
        took = counters.attempt_seconds.get(attempt.region)
        if took is not None:
            took.exemplify((attempt.ended_ms - attempt.started_ms) / 1000, trace_id)
