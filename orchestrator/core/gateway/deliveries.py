"""Webhooks that nobody took, or has taken yet."""

from collections.abc import Sequence

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.views import PendingDeliveries, ReceiverView, Redelivered
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.ports.store import DeadFilter, DeadLetterCursor, HistoryStore, OutboxEntry, PendingCursor

ENDPOINTS_MOST = 200


class Deliveries:
    """Lists a customer's deliveries, and makes failed ones again."""

    def __init__(self, shard: ShardClient, store: HistoryStore) -> None:
        self._shard = shard
        self._store = store

    async def dead(
        self, wanted: DeadFilter, *, most: int, before: DeadLetterCursor | None
    ) -> Sequence[OutboxEntry]:
        """List deliveries that failed for good, newest first."""
        return await self._store.dead_deliveries(wanted, most=most, before=before)

    async def pending(
        self, customer: CustomerId, *, most: int, endpoint: TargetDomain | None, after: PendingCursor | None
    ) -> PendingDeliveries:
        """List deliveries that are still to be made, by endpoint, and whom they go to."""
        endpoints = await self._store.pending_endpoints(customer, most=ENDPOINTS_MOST, endpoint=endpoint)
        found = await self._store.pending_deliveries(customer, most=most, endpoint=endpoint, after=after)
        return PendingDeliveries(tuple(endpoints), tuple(found))

    def receivers(self, customer: CustomerId, most: int) -> tuple[ReceiverView, ...]:
        """Show how a customer's receivers took webhooks since the service began, the worst first."""
        return self._shard.receivers(customer, most)

    async def redeliver_dead(self, wanted: DeadFilter, most: int) -> Redelivered:
        """Make failed deliveries again, the newest first, at a bounded pace.

        Raises:
            NotFound: One was named, and there is none of that id.
        """
        again = await self._shard.redeliver_dead(wanted, most)
        if wanted.id is not None and not again.count:
            raise NotFound("no failed webhook of yours has that id")
        return again
