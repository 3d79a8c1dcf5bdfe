"""What is counted while the shard works: plain numbers, read by whoever publishes them."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.domain.fanout import DeliveryState
from orchestrator.domain.histogram import Histogram
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.domain.lifecycle import JobState


@dataclass(slots=True)
class Tally:
    """Counts since this shard began. Keys are bounded: regions, targets and enum members only."""

    accepted: int = 0
    duplicates: int = 0
    ended: Counter[JobState] = field(default_factory=Counter)
    attempts: Counter[tuple[RegionName, str]] = field(default_factory=Counter)
    """By region and how it ended: a status class such as ``2xx``, or a fault."""
    attempt_seconds: dict[RegionName, Histogram] = field(default_factory=dict)
    """How long attempts took from their first byte to their end, by region."""
    throttled: Counter[TargetDomain] = field(default_factory=Counter)
    """Answers of 429, by target: as many keys as the shard knows targets."""
    deliveries: Counter[DeliveryState] = field(default_factory=Counter)
    """Delivery attempts by the state that they left; ``pending`` ones are tried again."""
    delivery_seconds: Histogram = field(default_factory=Histogram)

    def attempt_took(self, region: RegionName, seconds: float) -> None:
        """Count how long an attempt took."""
        self.attempt_seconds.setdefault(region, Histogram()).observe(seconds)
