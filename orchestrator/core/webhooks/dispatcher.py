"""The webhook dispatcher: every result reaches its receivers, and is tried again until the schedule is over.

It signs; who sends, ``departures`` chooses.
"""

from collections.abc import Sequence

from msgspec import Struct

from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.webhooks.departures import Departures
from orchestrator.core.webhooks.endpoint import Endpoint
from orchestrator.core.webhooks.endpoint_queues import EndpointQueues
from orchestrator.core.webhooks.in_flight import DeliveriesInFlight, DeliveryInFlight
from orchestrator.core.webhooks.large_results import LargeResults
from orchestrator.core.webhooks.loader import DeliveryLoader
from orchestrator.core.webhooks.outbox import Outbox
from orchestrator.core.webhooks.queued import LoadedResult, QueuedDelivery
from orchestrator.core.webhooks.signing_secrets import SigningSecrets
from orchestrator.domain.ids import DeliveryId, JobId, NodeAddress, RegionName, TargetDomain
from orchestrator.domain.webhooks.fanout import DeliveryState, is_final, seems_down
from orchestrator.messages.types import Deliver, Delivered, NeedResult
from orchestrator.ports.store import OutboxEntry

EXPECT_WITHIN_S = 90.0
"""Longer than the sender's own limits: beyond it, its silence counts as a lost message."""


class _AwaitsRegion(Struct, frozen=True):
    """A delivery that can't leave now from any of the regions that it may leave from."""

    delivery: QueuedDelivery
    endpoint: TargetDomain
    regions: tuple[RegionName, ...]


class WebhookDispatcher:
    """Takes what is due to its endpoint's queue, from there to a sender, and how it went to the outbox.

    Args:
        context: What the shard's parts share.
        outbox: Says what is due, and keeps how it went.
        secrets: What it signs with.
        peers: The senders.
        max_concurrent: Deliveries in flight to one endpoint.

    """

    def __init__(
        self,
        context: ShardContext,
        outbox: Outbox,
        secrets: SigningSecrets,
        peers: PeerBook,
        *,
        max_concurrent: int,
    ) -> None:
        self._outbox = outbox
        self._secrets = secrets
        self._peers = peers
        self._departures = Departures(peers)
        self._clock = context.clock
        self._spawn = context.spawn
        self._counters = context.counters
        self._tracing = context.tracing
        self._queues = EndpointQueues(context.clock, max_concurrent=max_concurrent, start=self._start)
        self._loader = DeliveryLoader(context.store.jobs, secrets, outbox)
        self._in_flight = DeliveriesInFlight()
        self._large = LargeResults(context, peers, self._in_flight, unreadable=self._end_unreadable)
        self._awaiting_regions: list[_AwaitsRegion] = []

    async def begin(self) -> Sequence[OutboxEntry]:
        """Take up what a restart found pending, and give it."""
        found = await self._outbox.begin()
        self._clock.call_at(self._clock.now() + EXPECT_WITHIN_S, self._sweep)
        return found

    def __len__(self) -> int:
        """Count the deliveries that senders have."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """Count the deliveries that wait for their endpoints, or for a region to leave from."""
        return len(self._queues) + len(self._awaiting_regions)

    def deliver(self, result: LoadedResult, ours: Sequence[OutboxEntry]) -> None:
        """Send a job's result to its receivers, all at once; the outbox is on disk by now. ``ours`` are those
        deliveries that this shard makes.
        """
        for entry in ours:
            self._queues.add(entry.endpoint, self._queued(entry, result))

    def due(self, entry: OutboxEntry) -> None:
        """Queue a delivery whose time has come; its result is read when it goes."""
        self._queues.add(entry.endpoint, self._queued(entry))

    def in_flight(self, node: NodeAddress) -> int:
        """Count the deliveries that a sender has."""
        return len(self._in_flight.of_node(node))

    def sender_lost(self, node: NodeAddress) -> None:
        """Send again what a sender had: it lost that."""
        for delivery in self._in_flight.of_node(node):
            self._send_again(delivery)

    def region_up(self, region: RegionName) -> None:
        """Queue again what waits for this region, which is up, and may be sent more."""
        waiting, self._awaiting_regions = self._awaiting_regions, []
        for awaiting in waiting:
            if region in awaiting.regions:
                self._queues.add(awaiting.endpoint, awaiting.delivery)
            else:
                self._awaiting_regions.append(awaiting)

    def delivered(self, sender: NodeAddress, message: Delivered) -> None:
        """Take the end of one delivery attempt; what another sender says of it counts for nothing."""
        sent = self._in_flight.at(sender, message.delivery)
        if sent is None or sent.number != message.attempt:
            return
        shown = self._departures.shown(sent.node.region)
        sent.entry = entry = self._outbox.noted(sent.entry, message, shown)
        trace_id = self._tracing.delivered(entry.job_id, sent.result.traceparent, entry)
        self._counters.delivery_took(message.took_ms / 1000, trace_id)
        unanswered = message.status is None and not is_final(None, message.fault)
        if unanswered and (following := self._departures.following(sent.regions, sent.tried)):
            self._send(sent, following)
        else:
            self._settle(self._in_flight.take(message.delivery), message, trace_id)

    def needs_result(self, sender: NodeAddress, message: NeedResult) -> None:
        """A sender is about to make a delivery of a large result: bring that."""
        self._large.needed(sender, message)

    def _settle(self, sent: DeliveryInFlight, message: Delivered, trace_id: str | None) -> None:
        sent.entry = entry = self._outbox.judged(sent.entry, message)
        if (after_s := self._outbox.accepted_after_s(entry, sent.result.ended_ms)) is not None:
            self._counters.delivered_after(after_s, trace_id)
        self._queues.settle(sent.endpoint, sent.queued, down=seems_down(message.status))
        self._spawn(self._outbox.record(entry))
        for overdue in self._queues.take_overdue(sent.endpoint, self._outbox.now_ms):
            self._spawn(self._give_up(overdue))
        self._queues.pump_after_settling(sent.endpoint)

    def _queued(self, entry: OutboxEntry, result: LoadedResult | None = None) -> QueuedDelivery:
        over_ms = self._outbox.over_ms(entry)
        return QueuedDelivery(entry.job_id, entry.customer, entry.index, over_ms, result)

    def _start(self, endpoint: Endpoint, delivery: QueuedDelivery) -> None:
        secrets = self._secrets.known(delivery.customer)
        if delivery.result is not None and secrets is not None:
            self._dispatch(endpoint, delivery, delivery.result, secrets)
        else:
            self._spawn(self._load_and_dispatch(endpoint, delivery))

    async def _load_and_dispatch(self, endpoint: Endpoint, delivery: QueuedDelivery) -> None:
        loaded = await self._loader.load(delivery)
        if loaded is None:
            self._queues.give_back(endpoint, delivery)
        elif delivery.result is not None or self._queues.fits_as_loaded(endpoint, delivery, loaded[0]):
            self._dispatch(endpoint, delivery, *loaded)
        self._queues.pump(endpoint)

    def _dispatch(
        self, endpoint: Endpoint, delivery: QueuedDelivery, result: LoadedResult, secrets: tuple[str, ...]
    ) -> None:
        entry = result.entries[delivery.index]
        if entry.state is not DeliveryState.PENDING or entry.id in self._in_flight:
            self._queues.give_back(endpoint, delivery)
            return
        sent = DeliveryInFlight(result=result, queued=delivery, endpoint=endpoint, secrets=secrets)
        region = self._departures.first(sent.regions)
        if region is None:
            self._await_region(sent)
        else:
            self._in_flight.add(sent)
            self._send(sent, region)

    def _await_region(self, sent: DeliveryInFlight) -> None:
        """Keep a delivery out of its endpoint's queue, as an index entry, until it can leave."""
        self._queues.give_back(sent.endpoint, sent.queued)
        sent.queued.result = None
        able = self._departures.possible(sent.regions)
        self._awaiting_regions.append(_AwaitsRegion(sent.queued, sent.endpoint.name, able))

    def _send(self, sent: DeliveryInFlight, region: RegionName) -> None:
        entry, body = sent.entry, sent.result.body
        sent.node = self._peers.peer(region).address
        sent.tried = (*sent.tried, region)
        sent.number = len(entry.log) + 1
        sent.traceparent = self._tracing.onward(entry.job_id, sent.result.traceparent, entry.id, sent.number)
        sent.expected_by = self._clock.now() + EXPECT_WITHIN_S
        headers = () if body is None else sent.signed(body, self._clock.unix_ms())
        self._peers.post(
            sent.node, Deliver(entry.id, sent.number, sent.url, body, headers, sent.queued.job_id)
        )

    async def _give_up(self, delivery: QueuedDelivery) -> None:
        """End what has waited behind an open breaker until its schedule was over."""
        result = await self._loader.result(delivery)
        entry = result.entries[delivery.index] if result is not None else None
        if entry is not None and entry.state is DeliveryState.PENDING:
            await self._outbox.fail_as_down(entry)

    async def _end_unreadable(self, job_id: JobId, why: str) -> None:
        for delivery in self._in_flight.of_job(job_id):
            sent = self._in_flight.take(delivery)
            self._queues.give_back(sent.endpoint, sent.queued)
            await self._outbox.fail_as_unreadable(job_id, sent.queued.index, why)
            self._queues.pump(sent.endpoint)

    def _sweep(self) -> None:
        now = self._clock.now()
        for delivery in self._in_flight.overdue(now):
            self._send_again(delivery)
        self._queues.sweep()
        self._clock.call_at(now + EXPECT_WITHIN_S / 3, self._sweep)

    def _send_again(self, delivery: DeliveryId) -> None:
        sent = self._in_flight.take(delivery)
        self._queues.give_back(sent.endpoint, sent.queued)
        sent.queued.result = sent.result
        self._queues.return_to_front(sent.endpoint, sent.queued)
