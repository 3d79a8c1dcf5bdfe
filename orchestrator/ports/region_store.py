"""What operators have said of regions."""

from typing import Protocol

from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.ids import RegionName


class RegionStore(Protocol):
    """Regions, which every shard knows. Every call may raise StoreFailure."""

    async def drains(self) -> dict[RegionName, Drain]:
        """List the regions that an operator has taken out of service."""

    async def save_drain(self, region: RegionName, drain: Drain | None, entry: AuditEntry) -> None:
        """Save that a region drains, or (None) does so no longer, and the entry that says so, in one
        transaction.

        Raises:
            StoreFailure: It could not be written.
        """
