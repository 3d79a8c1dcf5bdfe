"""Large results stay on disk until a sender is about to send them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.webhooks.in_flight import DeliveriesInFlight
from orchestrator.core.webhooks.queued import QueuedDelivery
from orchestrator.domain.ids import DeliveryId, JobId, NodeAddress
from orchestrator.messages.types import DeliverySigned, JobResult, NeedResult
from orchestrator.ports.store import DamagedError


@dataclass(slots=True)
class _Wanted:
    """What one sender waits for of a large result: signatures of deliveries, and perhaps the body."""

    deliveries: set[DeliveryId] = field(default_factory=set)
    body: bool = False


class LargeResults:
    """Brings a sender each result once for all deliveries of its job, and a fresh signature for each.

    Args:
        context: What the shard's parts share.
        peers: The senders.
        in_flight: What senders have.
        unreadable: Ends what senders have of a job whose result they wait for in vain.

    """

    def __init__(
        self,
        context: ShardContext,
        peers: PeerBook,
        in_flight: DeliveriesInFlight,
        *,
        unreadable: Callable[[JobId, str], Coroutine[Any, Any, None]],
    ) -> None:
        self._store = context.store.jobs
        self._clock = context.clock
        self._answers = context.answers
        self._spawn = context.spawn
        self._peers = peers
        self._in_flight = in_flight
        self._unreadable = unreadable
        self._wanted: dict[tuple[NodeAddress, JobId], _Wanted] = {}

    def needed(self, sender: NodeAddress, message: NeedResult) -> None:
        """A sender is about to make a delivery of a large result: read that now, and sign it."""
        sent = self._in_flight.at(sender, message.delivery)
        if sent is None:
            return
        key = (sender, sent.queued.job_id)
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = _Wanted()
            self._spawn(self._bring(*key, sent.queued))
        wanted.deliveries.add(message.delivery)
        wanted.body = wanted.body or not message.has_body

    async def _bring(self, node: NodeAddress, job_id: JobId, queued: QueuedDelivery) -> None:
        lent = await self._answers.lend(queued.customer, queued.body_bytes)
        try:
            body = await self._store.result(job_id)
        except DamagedError as error:
            lent.give_back(0)
            await self._unreadable(job_id, str(error))
            return
        finally:
            wanted = self._wanted.pop((node, job_id))
        if body is None or not (wanted.body and self._is_there(node, wanted)):
            lent.give_back(0)
        else:
            self._peers.post(node, JobResult(job_id, body), lent)
        if body is not None:
            await self._sign_each(sorted(wanted.deliveries), node, body)

    def _is_there(self, node: NodeAddress, wanted: _Wanted) -> bool:
        """Whether a sender has any of these; to one that is gone a result would be under way for ever."""
        return any(self._in_flight.at(node, delivery) for delivery in wanted.deliveries)

    async def _sign_each(self, deliveries: Sequence[DeliveryId], node: NodeAddress, body: bytes) -> None:
        for delivery in deliveries:
            sent = self._in_flight.at(node, delivery)
            if sent is not None:
                signed = sent.signed(body, self._clock.unix_ms())
                self._peers.post(node, DeliverySigned(delivery, sent.number, signed))
                # To digest five megabytes takes some ms, and twenty receivers may ask for it at once.
                await asyncio.sleep(0)
