"""What operators have said of regions."""

from orchestrator.adapters.memory.shard import MemoryShard
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.ids import RegionName


class MemoryRegions(MemoryShard):
    """The RegionStore port in memory."""

    async def drains(self) -> dict[RegionName, Drain]:
        """List the regions that an operator has taken out of service."""
        return dict(self._tables.drains)

    async def save_drain(self, region: RegionName, drain: Drain | None, entry: AuditEntry) -> None:
        """Save that a region drains, or does so no longer, and the entry that says so."""
        async with self._writing() as transaction:
            transaction.write(lambda: self._tables.drain(region, drain))
            transaction.write(lambda: self._tables.audit.append(entry))
