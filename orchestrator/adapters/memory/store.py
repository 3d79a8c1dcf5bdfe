"""The Store port in memory: for simulation, and for tests of everything above a store.

It commits at once and seals nothing; a new shard over the same object is a restart.
"""

from orchestrator.adapters.memory.customers import MemoryCustomers
from orchestrator.adapters.memory.history import MemoryHistory
from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.tables import Tables
from orchestrator.domain.histogram import SIZES, Histogram


class MemoryStore:
    """One shard's state in dictionaries."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.jobs = MemoryJobs(self.tables)
        self.history = MemoryHistory(self.tables)
        self.customers = MemoryCustomers()
        self.commit_sizes = Histogram(SIZES)

    @property
    def lost(self) -> str | None:
        """Nothing of it can get lost."""
        return None

    async def close(self) -> None:
        """Nothing is held."""
