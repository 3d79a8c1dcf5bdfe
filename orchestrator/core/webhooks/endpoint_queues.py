"""Deliveries that wait for their endpoints: each endpoint has a queue of its own, and all share some room."""

from collections.abc import Callable
from itertools import islice

from orchestrator.core.webhooks.delivery_room import DeliveryRoom
from orchestrator.core.webhooks.endpoint import Endpoint
from orchestrator.core.webhooks.queued import LoadedResult, QueuedDelivery
from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.ids import TargetDomain
from orchestrator.ports.clock import Clock

WAITING_BYTES = 8 * MIB
"""Results kept for deliveries that are queued; those of the others are read again from disk."""
RETRIED_MOST = 16
"""Endpoints that are looked at again when room comes back, those that have waited longest first."""
FAILURES_COUNT_FOR_S = 3_600.0


class EndpointQueues:
    """Lets deliveries go as their endpoints have places, their breakers allow, and there is room in memory.

    Args:
        clock: Time.
        max_concurrent: Deliveries in flight to one endpoint.
        start: Takes a delivery that goes now; it holds its place and its room until one of ``settle`` and
            ``give_back`` is called.

    """

    def __init__(
        self, clock: Clock, *, max_concurrent: int, start: Callable[[Endpoint, QueuedDelivery], None]
    ) -> None:
        self._clock = clock
        self._max_concurrent = max_concurrent
        self._start = start
        self._endpoints: dict[TargetDomain, Endpoint] = {}
        self._room = DeliveryRoom()
        self._without_room: dict[TargetDomain, None] = {}
        self._waiting_bytes = 0

    def __len__(self) -> int:
        """Count the deliveries that wait."""
        return sum(len(endpoint.queue) for endpoint in self._endpoints.values())

    def add(self, name: TargetDomain, delivery: QueuedDelivery) -> None:
        """Queue a delivery; it goes at once where it may."""
        self._insert(self._endpoint(name), delivery, first=False)

    def return_to_front(self, endpoint: Endpoint, delivery: QueuedDelivery) -> None:
        """Queue a delivery again, before all others, that was on its way."""
        self._insert(endpoint, delivery, first=True)

    def _insert(self, endpoint: Endpoint, delivery: QueuedDelivery, *, first: bool) -> None:
        if delivery.result is not None:
            self._waiting_bytes += delivery.result.size
        if first:
            endpoint.queue.appendleft(delivery)
        else:
            endpoint.queue.append(delivery)
        self.pump(endpoint)
        if self._waiting_bytes > WAITING_BYTES and endpoint.queue and endpoint.queue[-1] is delivery:
            self._drop_result(delivery)

    def pump(self, endpoint: Endpoint) -> None:
        """Let out of an endpoint's queue what may go now."""
        now = self._clock.now()
        self._without_room.pop(endpoint.name, None)
        while endpoint.queue and endpoint.has_room(now):
            delivery = endpoint.start(self._room.fits)
            if delivery is None:
                self._without_room[endpoint.name] = None
                break
            self._room.take(delivery)
            if delivery.result is not None:
                self._waiting_bytes -= delivery.result.size
            self._start(endpoint, delivery)
        self._wake_for_probe(endpoint, now)
        if endpoint.idle and self._endpoints.get(endpoint.name) is endpoint:
            del self._endpoints[endpoint.name]

    def settle(self, endpoint: Endpoint, delivery: QueuedDelivery, *, down: bool) -> None:
        """An attempt came to an end; ``down``: as if nobody was there."""
        endpoint.settle(delivery, self._clock.now(), down=down)
        self._room.give_back(delivery)

    def give_back(self, endpoint: Endpoint, delivery: QueuedDelivery) -> None:
        """It did not go, or nobody knows how it went."""
        endpoint.give_back(delivery)
        self._room.give_back(delivery)

    def pump_after_settling(self, endpoint: Endpoint) -> None:
        """Let out what the place and the room of a settled delivery are for."""
        self.pump(endpoint)
        for name in list(islice(self._without_room, RETRIED_MOST)):
            self.pump(self._endpoint(name))

    def fits_as_loaded(self, endpoint: Endpoint, delivery: QueuedDelivery, result: LoadedResult) -> bool:
        """Count a delivery on its way as large as it has turned out to be; False where there is no room for
        that: it is back in its queue.
        """
        self._room.give_back(delivery)
        delivery.learn(result)
        if self._room.fits(delivery):
            self._room.take(delivery)
            return True
        endpoint.give_back(delivery)
        delivery.result = result
        self.return_to_front(endpoint, delivery)
        return False

    def take_overdue(self, endpoint: Endpoint, unix_ms: int) -> list[QueuedDelivery]:
        """Remove what has waited behind an open breaker until its schedule was over."""
        overdue: list[QueuedDelivery] = []
        while endpoint.queue and endpoint.is_open and endpoint.queue[0].over_ms <= unix_ms:
            overdue.append(endpoint.queue.popleft())
            self._drop_result(overdue[-1])
        return overdue

    def sweep(self) -> None:
        """Forget old failures, and look whether anything may go."""
        now = self._clock.now()
        for endpoint in list(self._endpoints.values()):
            endpoint.forget(now, FAILURES_COUNT_FOR_S)
            self.pump(endpoint)

    def _endpoint(self, name: TargetDomain) -> Endpoint:
        found = self._endpoints.get(name)
        if found is None:
            found = self._endpoints[name] = Endpoint(name, self._max_concurrent)
        return found

    def _drop_result(self, delivery: QueuedDelivery) -> None:
        """Forget what a queued delivery brings: it is on disk."""
        if delivery.result is not None:
            self._waiting_bytes -= delivery.result.size
            delivery.result = None

    def _wake_for_probe(self, endpoint: Endpoint, now: float) -> None:
        probes_in_s = endpoint.probes_in_s(now)
        if endpoint.queue and probes_in_s is not None and not endpoint.waking:
            endpoint.waking = True
            self._clock.call_at(now + probes_in_s, lambda: self._wake(endpoint))

    def _wake(self, endpoint: Endpoint) -> None:
        endpoint.waking = False
        self.pump(endpoint)
