"""How receivers take webhooks: how many of the attempts, and how fast they answer."""

from dataclasses import dataclass, field

from orchestrator.core.views import ReceiverView
from orchestrator.domain.histogram import Histogram, quantile
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.recent import Recent

KNOWN_MOST = 2_000
"""Receivers, a kilobyte each: of more those are forgotten that were not tried for longest."""


@dataclass(slots=True)
class _Record:
    """What became of the attempts at one receiver of one customer's; ``answered_in`` are seconds."""

    attempts: int = 0
    taken: int = 0
    answered_in: Histogram = field(default_factory=Histogram)


class Receivers:
    """Counts attempts by whose they are and to whom, since the shard began."""

    def __init__(self) -> None:
        self._known: Recent[tuple[CustomerId, TargetDomain], _Record] = Recent(KNOWN_MOST)

    def note(
        self, customer: CustomerId, endpoint: TargetDomain, took_s: float, *, answered: bool, taken: bool
    ) -> None:
        """Count an attempt, and how long it took where it was answered."""
        whose = customer, endpoint
        record = self._known.get(whose) or _Record()
        self._known.put(whose, record)
        record.attempts += 1
        record.taken += taken
        if answered:
            record.answered_in.observe(took_s)

    def of(self, customer: CustomerId, most: int) -> tuple[ReceiverView, ...]:
        """Show a customer's receivers, those that take the smallest share of the attempts first."""
        shown = [
            _view(endpoint, record) for (owner, endpoint), record in self._known.items() if owner == customer
        ]
        return tuple(sorted(shown, key=lambda view: (view.taken / view.attempts, view.endpoint))[:most])


def _view(endpoint: TargetDomain, record: _Record) -> ReceiverView:
    counts = record.answered_in.counts
    return ReceiverView(
        endpoint=endpoint,
        attempts=record.attempts,
        taken=record.taken,
        p50_s=quantile(counts, 0.5),
        p99_s=quantile(counts, 0.99),
    )
