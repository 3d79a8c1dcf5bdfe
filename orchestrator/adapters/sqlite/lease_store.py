"""Who has the shard of a data directory."""

from orchestrator.adapters.sqlite.epochs import raise_epoch, read_beat, write_beat
from orchestrator.adapters.sqlite.shard_rows import ShardRows
from orchestrator.domain.cluster.lease import Beat


class SqliteLease(ShardRows):
    """The LeaseStore port on SQLite."""

    @property
    def held_by_lock(self) -> bool:
        """Nobody else can open the data directory."""
        return True

    async def last_beat(self) -> Beat:
        """Read what whoever has the shard wrote last."""
        return await self._database.lanes.work.read(read_beat)

    async def begin_epoch(self, seen: Beat | None = None) -> int:
        """Take the shard: raise its epoch, 1 on a new store.

        Raises:
            StillBeating: Its beat is another than was ``seen``.
            StoreFailure: It could not be written.
        """
        epoch = int(await self._database.written(lambda db: raise_epoch(db, seen)))
        self._database.fence.epoch = epoch
        return epoch

    async def beat(self) -> None:
        """Say that this one goes on."""
        await self._database.written(write_beat)
