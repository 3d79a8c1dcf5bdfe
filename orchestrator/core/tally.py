"""What is counted while the shard works: plain numbers, read by whoever publishes them."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.domain.fanout import DeliveryState
from orchestrator.domain.ids import RegionName
from orchestrator.domain.lifecycle import JobState


@dataclass(slots=True)
class Tally:
    """Counts since this shard began. Keys are bounded: regions and enum members only."""

    accepted: int = 0
    duplicates: int = 0
    ended: Counter[JobState] = field(default_factory=Counter)
    attempts: Counter[tuple[RegionName, str]] = field(default_factory=Counter)
    """By region and how it ended: a status class such as ``2xx``, or a fault."""
    deliveries: Counter[DeliveryState] = field(default_factory=Counter)
    """Delivery attempts by the state that they left; ``pending`` ones are tried again."""
