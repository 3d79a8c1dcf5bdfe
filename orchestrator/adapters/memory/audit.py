"""The audit, in memory."""

from collections.abc import Sequence

from orchestrator.domain.access.audit import AuditEntry, AuditFilter, AuditLine


class MemoryAudit:
    """The AuditLog port in memory."""

    def __init__(self, entries: list[AuditEntry]) -> None:
        self._entries = entries

    async def append(self, entry: AuditEntry) -> None:
        """Write down an act that is no row of the store's."""
        self._entries.append(entry)

    async def lines(self, wanted: AuditFilter, most: int) -> Sequence[AuditLine]:
        """List entries, the latest first."""
        lines = [AuditLine(number, entry) for number, entry in enumerate(self._entries, 1)]
        meant = [
            line
            for line in reversed(lines)
            if line.number < wanted.before and wanted.since_ms <= line.entry.at_ms < wanted.until_ms
        ]
        return meant[:most]
