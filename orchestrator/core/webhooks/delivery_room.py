"""How much deliveries under way may hold at their senders: of all in bytes, fair between customers."""

from collections import Counter

from orchestrator.core.webhooks.queued import QueuedDelivery
from orchestrator.domain.byte_budget import KIB, LARGE_BYTES, MIB, TLS_COSTS, ByteBudget
from orchestrator.domain.ids import JobId

DELIVERY_BYTES = 40 * MIB
"""At all senders together: any region's executor may be the one that has them all."""
DELIVERY_COSTS = 16 * KIB
"""Of a delivery besides its body: a task, a connection and what they hold, of the receiver's answer too. TLS
comes besides.
"""
LARGE_COSTS = 128 * KIB
"""The same where the body goes out in pieces, and some of them lie in the connection's buffers."""


class DeliveryRoom:
    """Counts a small body for each delivery, and a large one once for all of its job: they share a copy."""

    def __init__(self) -> None:
        self._budget = ByteBudget(DELIVERY_BYTES)
        self._large: Counter[JobId] = Counter()

    @property
    def used(self) -> int:
        """Bytes that are counted now."""
        return self._budget.used

    def fits(self, delivery: QueuedDelivery) -> bool:
        """Whether a delivery may go."""
        return self._budget.fits(delivery.customer, _own_bytes(delivery) + self._shared_bytes(delivery))

    def take(self, delivery: QueuedDelivery) -> None:
        """Count a delivery that goes."""
        self._budget.take(delivery.customer, _own_bytes(delivery))
        if delivery.body_bytes > LARGE_BYTES:
            self._budget.take(delivery.customer, self._shared_bytes(delivery))
            self._large[delivery.job_id] += 1

    def give_back(self, delivery: QueuedDelivery) -> None:
        """Count it no longer."""
        self._budget.give_back(delivery.customer, _own_bytes(delivery))
        if delivery.body_bytes > LARGE_BYTES:
            self._large[delivery.job_id] -= 1
            self._budget.give_back(delivery.customer, self._shared_bytes(delivery))
            if not self._large[delivery.job_id]:
                del self._large[delivery.job_id]

    def _shared_bytes(self, delivery: QueuedDelivery) -> int:
        large = delivery.body_bytes > LARGE_BYTES and not self._large[delivery.job_id]
        return delivery.body_bytes if large else 0


def _own_bytes(delivery: QueuedDelivery) -> int:
    tls = TLS_COSTS if delivery.secure else 0
    return tls + (LARGE_COSTS if delivery.body_bytes > LARGE_BYTES else DELIVERY_COSTS + delivery.body_bytes)
