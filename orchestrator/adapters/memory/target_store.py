"""What a shard knows of its targets: what they have taught, what was said of them, and who calls."""

from collections.abc import Mapping
from typing import TypeVar

from orchestrator.adapters.memory.shard import MemoryShard
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.steering.learned import Learned

_T = TypeVar("_T")


class MemoryTargets(MemoryShard):
    """The TargetStore port in memory."""

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        return self._of_ours(self._tables.paces)

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught."""
        if self.fenced:
            return
        self._tables.paces[domain] = learned

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return self._of_ours(self._tables.overrulings)

    async def save_overruling(
        self,
        domain: TargetDomain,
        overruling: Overruling,
        entry: AuditEntry,
        learned: Learned | None = None,
    ) -> None:
        """Save what the operator says of a domain, the entry that says so, and what is taken as learned."""
        async with self._writing() as transaction:
            transaction.write(lambda: self._tables.overrule(domain, overruling, learned))
            transaction.write(lambda: self._tables.audit.append(entry))

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target."""
        if self.fenced:
            return
        self._tables.domains.add((customer, domain))

    def _of_ours(self, rows: Mapping[TargetDomain, _T]) -> dict[TargetDomain, _T]:
        return {domain: row for domain, row in rows.items() if self._tables.has(self.shard, domain)}
