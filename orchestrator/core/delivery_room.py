"""How much deliveries under way may hold at their senders: of all in bytes, fair between customers."""

from collections import Counter

from orchestrator.core.endpoints import Turn
from orchestrator.domain.byte_budget import KIB, LARGE_BYTES, MIB, ByteBudget
from orchestrator.domain.ids import JobId

DELIVERY_BYTES = 64 * MIB
DELIVERY_COSTS = 16 * KIB
"""Of a delivery besides its body: a task, a connection and what they hold."""
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

    def fits(self, turn: Turn) -> bool:
        """Whether a delivery may go."""
        return self._budget.fits(turn.customer, _own_bytes(turn) + self._shared_bytes(turn))

    def take(self, turn: Turn) -> None:
        """Count a delivery that goes."""
        self._budget.take(turn.customer, _own_bytes(turn))
        if turn.body_bytes > LARGE_BYTES:
            self._budget.take(turn.customer, self._shared_bytes(turn))
            self._large[turn.job_id] += 1

    def give_back(self, turn: Turn) -> None:
        """Count it no longer."""
        self._budget.give_back(turn.customer, _own_bytes(turn))
        if turn.body_bytes > LARGE_BYTES:
            self._large[turn.job_id] -= 1
            self._budget.give_back(turn.customer, self._shared_bytes(turn))
            if not self._large[turn.job_id]:
                del self._large[turn.job_id]

    def _shared_bytes(self, turn: Turn) -> int:
        large = turn.body_bytes > LARGE_BYTES and not self._large[turn.job_id]
        return turn.body_bytes if large else 0


def _own_bytes(turn: Turn) -> int:
    return LARGE_COSTS if turn.body_bytes > LARGE_BYTES else DELIVERY_COSTS + turn.body_bytes
