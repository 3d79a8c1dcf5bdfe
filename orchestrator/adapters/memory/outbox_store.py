"""Deliveries that a shard still has to make."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from orchestrator.adapters.memory.shard import MemoryShard
from orchestrator.adapters.memory.tables import Row
from orchestrator.adapters.memory.transactions import Transaction
from orchestrator.domain.webhooks.fanout import DeliveryState, JobDelivery
from orchestrator.ports.store import OutboxEntry, delivery_of


class MemoryOutbox(MemoryShard):
    """The part of the JobStore port that is about deliveries."""

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        entries = (entry for entries in self._tables.outbox.values() for entry in entries)
        pending = (
            entry
            for entry in entries
            if entry.state is DeliveryState.PENDING and self._tables.has(self.shard, entry.endpoint)
        )
        return sorted(pending, key=lambda entry: entry.next_ms)

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended."""
        await self.reopen_deliveries([entry])

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries, and how those of each job stand together. Its row is locked before the others are
        read: of two receivers that are told at once, whichever comes second sees the first.
        """
        async with self._writing() as transaction:
            for job_id in sorted({entry.job_id for entry in entries}):
                row = await self._lock_job(transaction, job_id)
                saved = {entry.index: entry for entry in entries if entry.job_id == job_id}
                self._save_deliveries(transaction, row, saved)

    def _save_deliveries(self, transaction: Transaction, row: Row, saved: Mapping[int, OutboxEntry]) -> None:
        known = self._tables.outbox.get(row.job.id)
        if known is None:
            return
        entries = [saved.get(entry.index, entry) for entry in known]
        delivery = delivery_of(row.job, row.state, entries)
        transaction.write(lambda: self._put_deliveries(row, saved, delivery))

    def _put_deliveries(self, row: Row, saved: Mapping[int, OutboxEntry], delivery: JobDelivery) -> None:
        row.delivery = delivery
        for index, entry in saved.items():
            self._tables.outbox[row.job.id][index] = replace(entry)
