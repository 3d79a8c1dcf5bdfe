"""What a shard knows of its targets beyond one life: what they have taught, what was said, who calls."""

from typing import Protocol

from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.steering.learned import Learned


class TargetStore(Protocol):
    """Targets of one shard. Every call that waits may raise StoreFailure."""

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught; rides the next commit."""

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""

    async def save_overruling(
        self,
        domain: TargetDomain,
        overruling: Overruling,
        entry: AuditEntry,
        learned: Learned | None = None,
    ) -> None:
        """Save what the operator says of a domain from now on, the entry that says so, and what is taken as
        learned there (None: what was), in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target on this day; rides the next commit."""
