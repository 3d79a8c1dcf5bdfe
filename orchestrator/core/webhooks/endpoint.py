"""Whom webhooks go to: each endpoint has its places in flight, its queue, and a breaker.

A receiver that is slow, hangs or is down keeps its own places and its own queue busy, and nobody else's.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice

from orchestrator.core.webhooks.queued import QueuedDelivery
from orchestrator.domain.ids import TargetDomain

FAILURES_TO_OPEN = 5
"""Failures in a row that open a breaker."""
PROBE_EVERY_S = 5.0
"""How long an open breaker waits after a failure before it lets one delivery try."""
LOOKED_AT_MOST = 64
"""Deliveries at the head of a queue, of which the first that there is room for goes."""


class Endpoint:
    """One receiver. Times are monotonic seconds."""

    __slots__ = ("_failures", "_probe", "_probe_at", "in_flight", "name", "places", "queue", "waking")

    def __init__(self, name: TargetDomain, places: int) -> None:
        self.name = name
        self.places = places
        self.queue: deque[QueuedDelivery] = deque()
        self.in_flight = 0
        self.waking = False
        """Whether somebody comes back to this queue when the next probe may go."""
        self._failures = 0
        self._probe: QueuedDelivery | None = None
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open: the receiver seems to be down."""
        return self._failures >= FAILURES_TO_OPEN

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.in_flight or self.queue or self._failures)

    def has_room(self, now: float) -> bool:
        """Whether another delivery may go: while the breaker is open, one probe at a time."""
        if self.in_flight >= self.places:
            return False
        return not self.is_open or (self._probe is None and now >= self._probe_at)

    def probes_in_s(self, now: float) -> float | None:
        """Say after how long the next probe may go; None where it is not time that is waited for."""
        waits = self.is_open and self._probe is None and self.in_flight < self.places
        return max(0.0, self._probe_at - now) if waits else None

    def start(self, fits: Callable[[QueuedDelivery], bool]) -> QueuedDelivery | None:
        """Let the first go that there is room for; None where that is nobody: one customer's large results
        hold up nobody else's.
        """
        for index, delivery in enumerate(islice(self.queue, LOOKED_AT_MOST)):
            if fits(delivery):
                del self.queue[index]
                self.in_flight += 1
                if self.is_open:
                    self._probe = delivery
                return delivery
        return None

    def give_back(self, delivery: QueuedDelivery) -> None:
        """It did not go, or nobody knows how it went: that says nothing of the receiver."""
        self.in_flight -= 1
        if self._probe is delivery:
            self._probe = None

    def settle(self, delivery: QueuedDelivery, now: float, *, down: bool) -> None:
        """It came to an end; ``down``: as if nobody was there."""
        self.give_back(delivery)
        self._failures = self._failures + 1 if down else 0
        if down:
            self._probe_at = now + PROBE_EVERY_S

    def forget(self, now: float, after_s: float) -> None:
        """Let old failures count no more, where nothing has gone there for a while."""
        if not (self.in_flight or self.queue) and now > self._probe_at + after_s:
            self._failures = 0
