"""What operators have said of regions."""

import sqlite3

from orchestrator.adapters.sqlite.audit import write_audit
from orchestrator.adapters.sqlite.drains import read_drains, write_drain
from orchestrator.adapters.sqlite.shard_rows import ShardRows
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.ids import RegionName


class SqliteRegions(ShardRows):
    """The RegionStore port on SQLite."""

    async def drains(self) -> dict[RegionName, Drain]:
        """List the regions that an operator has taken out of service."""
        return await self._database.lanes.work.read(read_drains)

    async def save_drain(self, region: RegionName, drain: Drain | None, entry: AuditEntry) -> None:
        """Save that a region drains, or does so no longer, and the entry that says so, in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """

        def write(db: sqlite3.Connection) -> None:
            write_drain(db, region, drain)
            write_audit(db, entry)

        await self._database.written(write)
