"""The Store port in memory: for simulation, and for tests of everything above a store.

It commits at once and seals nothing; a new shard over the same object is a restart. Several shards may have
it, or several lives of one.
"""

from orchestrator.adapters.memory.audit import MemoryAudit
from orchestrator.adapters.memory.customers import MemoryCustomers
from orchestrator.adapters.memory.history import MemoryHistory
from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.tables import FIRST_SHARD, Tables
from orchestrator.domain.histogram import FINE_SECONDS, SIZES, Histogram
from orchestrator.domain.ids import ShardName
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.store_numbers import StoreNumbers


class MemoryStore(AsyncCloseable):
    """Rows in dictionaries, and one shard's view of them.

    Args:
        tables: The rows, where they are there already.
        shard: Whose view ``jobs`` is.
    """

    def __init__(self, tables: Tables | None = None, shard: ShardName = FIRST_SHARD) -> None:
        alone = tables is None
        self.tables = Tables() if tables is None else tables
        self.jobs = MemoryJobs(self.tables, shard, held_by_lock=alone)
        self.history = MemoryHistory(self.tables)
        self.audit = MemoryAudit(self.tables.audit)
        self.customers = MemoryCustomers(self.tables.audit)

    @property
    def lost(self) -> str | None:
        """Say so where the shard was taken over; nothing else of it can get lost."""
        return "the shard was taken over" if self.jobs.fenced else None

    @property
    def refused(self) -> str:
        """Memory takes everything."""
        return ""

    def numbers(self) -> StoreNumbers:
        """Nothing is committed in groups, and nothing lies on a disk."""
        return StoreNumbers(commit_writes=Histogram(SIZES), commit_seconds=Histogram(FINE_SECONDS))

    async def close(self) -> None:
        """Nothing is held."""
