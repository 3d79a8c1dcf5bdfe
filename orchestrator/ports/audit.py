"""The audit: what operators did, for those who have to know."""

from collections.abc import Sequence
from typing import Protocol

from orchestrator.domain.access.audit import AuditEntry, AuditFilter, AuditLine


class AuditLog(Protocol):
    """Entries beside what they tell of: an act that is a row of the store's is written with its entry, in one
    transaction, by the port that has the row. It can be opened beside a running service. Every call may raise
    StoreFailure.
    """

    async def append(self, entry: AuditEntry) -> None:
        """Write down an act that is no row of the store's."""

    async def lines(self, wanted: AuditFilter, most: int) -> Sequence[AuditLine]:
        """List entries, the latest first."""
