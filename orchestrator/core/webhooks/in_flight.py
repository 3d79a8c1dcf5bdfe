"""The deliveries that senders have."""

from dataclasses import dataclass

from orchestrator.core.webhooks.endpoint import Endpoint
from orchestrator.core.webhooks.queued import LoadedResult, QueuedDelivery
from orchestrator.domain.ids import DeliveryId, JobId, NodeAddress, RegionName
from orchestrator.domain.trace_context import HEADER
from orchestrator.domain.webhooks.signing import signature_headers
from orchestrator.messages.names import WEBHOOK_NODE
from orchestrator.messages.types import Headers
from orchestrator.ports.store import OutboxEntry


@dataclass(slots=True, kw_only=True)
class DeliveryInFlight:
    """A delivery that a sender has: ``node`` is that one, ``tried`` the regions in this attempt, ``number``
    the attempt's own; past ``expected_by`` (monotonic s) the sender's silence counts as a lost message.
    """

    result: LoadedResult
    queued: QueuedDelivery
    endpoint: Endpoint
    secrets: tuple[str, ...]
    tried: tuple[RegionName, ...] = ()
    node: NodeAddress = WEBHOOK_NODE
    number: int = 0
    expected_by: float = 0.0
    traceparent: str | None = None

    @property
    def entry(self) -> OutboxEntry:
        """The delivery's row of the outbox."""
        return self.result.entries[self.queued.index]

    @entry.setter
    def entry(self, entry: OutboxEntry) -> None:
        self.result.entries[self.queued.index] = entry

    @property
    def url(self) -> str:
        """Where it goes."""
        return self.result.webhooks[self.queued.index].url

    @property
    def regions(self) -> tuple[RegionName, ...]:
        """The regions that its webhook names."""
        return self.result.webhooks[self.queued.index].regions

    def signed(self, body: bytes, unix_ms: int) -> Headers:
        """Sign this attempt as of now: receivers refuse old signatures. With the headers goes its trace."""
        traced = () if self.traceparent is None else ((HEADER, self.traceparent),)
        return (*signature_headers(body, self.secrets, self.entry.id, unix_ms // 1000), *traced)


class DeliveriesInFlight:
    """Finds them by delivery, and by whom a lost sender or a damaged row concerns."""

    def __init__(self) -> None:
        self._all: dict[DeliveryId, DeliveryInFlight] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._all)

    def __contains__(self, delivery: DeliveryId) -> bool:
        """Whether a sender has it."""
        return delivery in self._all

    def add(self, sent: DeliveryInFlight) -> None:
        """A sender gets it."""
        self._all[sent.entry.id] = sent

    def take(self, delivery: DeliveryId) -> DeliveryInFlight:
        """Remove a delivery: no sender's report of it counts any more."""
        return self._all.pop(delivery)

    def at(self, node: NodeAddress, delivery: DeliveryId) -> DeliveryInFlight | None:
        """Find a delivery that this sender has; another sender's word counts for nothing."""
        sent = self._all.get(delivery)
        return sent if sent is not None and sent.node == node else None

    def of_node(self, node: NodeAddress) -> list[DeliveryId]:
        """List what a sender has."""
        return [id_ for id_, sent in self._all.items() if sent.node == node]

    def of_job(self, job_id: JobId) -> list[DeliveryId]:
        """List what senders have of a job."""
        return [id_ for id_, sent in self._all.items() if sent.queued.job_id == job_id]

    def overdue(self, now: float) -> list[DeliveryId]:
        """List what its sender should have reported by monotonic ``now``."""
        return [id_ for id_, sent in self._all.items() if now > sent.expected_by]
