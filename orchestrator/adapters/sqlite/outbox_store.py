"""Deliveries that a shard still has to make."""

from collections.abc import Sequence

from orchestrator.adapters.sqlite.outbox import read_pending, update_of
from orchestrator.adapters.sqlite.shard_rows import ShardRows
from orchestrator.ports.store import OutboxEntry


class SqliteOutbox(ShardRows):
    """The part of the JobStore port that is about deliveries."""

    async def outbox(self) -> Sequence[OutboxEntry]:
        """List deliveries that are still to be made."""
        return await self._database.lanes.work.read(read_pending)

    async def save_delivery(self, entry: OutboxEntry) -> None:
        """Save how a delivery attempt ended, on a full disk after a while.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        sql, values = update_of(entry)
        await self._database.kept("a delivery", lambda db: db.execute(sql, values).rowcount)

    async def reopen_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        """Save deliveries that are to be made again, in one transaction.

        Raises:
            StoreFailure: They could not be written; none was.
        """
        updates = [update_of(entry) for entry in entries]
        await self._database.written(lambda db: [db.execute(sql, values).rowcount for sql, values in updates])
