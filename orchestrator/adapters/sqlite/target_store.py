"""What a shard knows of its targets: what they have taught, what was said of them, and who calls."""

import sqlite3

from orchestrator.adapters.sqlite.audit import write_audit
from orchestrator.adapters.sqlite.overrulings import read_overrulings, write_overruling
from orchestrator.adapters.sqlite.shard_rows import ShardRows
from orchestrator.adapters.sqlite.targets import LEARN, lesson, note_caller, read_lessons
from orchestrator.domain.access.audit import AuditEntry
from orchestrator.domain.ids import CustomerId, TargetDomain
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.steering.learned import Learned


class SqliteTargets(ShardRows):
    """The TargetStore port on SQLite."""

    async def paces(self) -> dict[TargetDomain, Learned]:
        """List what targets have taught."""
        return await self._database.lanes.work.read(lambda db: read_lessons(db, self._box))

    def note_pace(self, domain: TargetDomain, learned: Learned) -> None:
        """Save what a target has taught; rides the next commit."""
        row = lesson(self._box, domain, learned)
        self._database.post(lambda db: db.execute(LEARN, row))

    async def overrulings(self) -> dict[TargetDomain, Overruling]:
        """List what the operator said of domains."""
        return await self._database.lanes.work.read(read_overrulings)

    async def save_overruling(
        self,
        domain: TargetDomain,
        overruling: Overruling,
        entry: AuditEntry,
        learned: Learned | None = None,
    ) -> None:
        """Save what the operator says of a domain, the entry that says so, and what is taken as learned
        there, in one transaction.

        Raises:
            StoreFailure: It could not be written.
        """
        row = None if learned is None else lesson(self._box, domain, learned)

        def write(db: sqlite3.Connection) -> None:
            write_overruling(db, domain, overruling)
            write_audit(db, entry)
            if row is not None:
                db.execute(LEARN, row)

        await self._database.written(write)

    def note_domain(self, customer: CustomerId, domain: TargetDomain) -> None:
        """Save that a customer calls a target on this day; rides the next commit."""
        self._database.post(lambda db: note_caller(db, customer, domain))
