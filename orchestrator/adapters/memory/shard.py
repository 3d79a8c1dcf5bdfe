"""Rows in memory as one life of a shard has them: what it writes is written in its epoch, or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from orchestrator.adapters.memory.tables import FIRST_SHARD, Row, Tables
from orchestrator.adapters.memory.transactions import LockMode, RowKey, Transaction
from orchestrator.domain.cluster.lease import Beat
from orchestrator.domain.ids import JobId, ShardName
from orchestrator.ports.store import Fenced, StillBeating


async def _no_time() -> None:
    """Commit at once."""


class MemoryShard:
    """One life of a shard. Several may be open over the same tables: each write is a transaction, as it is in
    a database server.

    Args:
        tables: The rows.
        shard: Whose life this is.
        held_by_lock: Whether nobody else has it open.
        commit_takes: Returns when a commit has come through.
    """

    def __init__(
        self,
        tables: Tables,
        shard: ShardName = FIRST_SHARD,
        *,
        held_by_lock: bool = True,
        commit_takes: Callable[[], Awaitable[None]] = _no_time,
    ) -> None:
        self.held_by_lock = held_by_lock
        self._tables = tables
        self.shard = shard
        self._commit_takes = commit_takes
        self._epoch = 0
        self.group: Transaction | None = None
        """What is written while this is set is a part of it, which has locked the epoch's row before: shared,
        or alone where the shard is taken.
        """
        self._looked_from = 0
        """The transactions before this one had ended when one last looked for news."""

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Transaction]:
        """Write in this epoch, or not at all: whoever takes the shard waits for what has begun."""
        async with self._transaction() as transaction:
            if self.group is None:
                await transaction.lock(self.epoch_row, LockMode.SHARED)
            if self.fenced:
                msg = f"{self.shard} was taken over: this one's epoch was {self._epoch}"
                raise Fenced(msg)
            yield transaction

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        transaction = self._tables.transactions.begin(self.group)
        try:
            yield transaction
            await self._commit_takes()
            transaction.commit()
        finally:
            transaction.end()

    @property
    def epoch_row(self) -> RowKey:
        """What every write of the shard shares, and a take-over locks alone."""
        return "epochs", self.shard

    async def last_beat(self) -> Beat:
        """Read what whoever has the shard wrote last."""
        return self._tables.beats.get(self.shard, Beat(0, 0))

    async def begin_epoch(self, seen: Beat | None = None) -> int:
        """Take the shard: raise its epoch, 1 on a new store.

        Raises:
            StillBeating: Its beat is another than was ``seen``.
        """
        async with self._transaction() as transaction:
            if self.group is None:
                await transaction.lock(self.epoch_row, LockMode.ALONE)
            # No beat is on its way any more: each of them has shared the row that is locked here.
            now = await self.last_beat()
            if seen is not None and seen != now:
                msg = f"{self.shard} has beaten: {now}, and not {seen}"
                raise StillBeating(msg)
            self._put_beat(transaction, replace(now, epoch=now.epoch + 1))
        self._epoch = now.epoch + 1
        self._looked_from = self._tables.transactions.oldest_open
        return self._epoch

    async def beat(self) -> None:
        """Say that this one goes on."""
        async with self._writing() as transaction:
            now = await self.last_beat()
            self._put_beat(transaction, replace(now, number=now.number + 1))

    def _put_beat(self, transaction: Transaction, beat: Beat) -> None:
        transaction.write(lambda: self._tables.beats.update({self.shard: beat}))

    @property
    def fenced(self) -> bool:
        """Whether the shard has a later epoch than the one that was begun here."""
        return bool(self._epoch) and self._tables.beats[self.shard].epoch != self._epoch

    def _ours(self) -> Iterator[Row]:
        return (row for row in self._tables.rows.values() if self._tables.has(self.shard, row.job.domain))

    async def _lock_job(self, transaction: Transaction, job_id: JobId) -> Row:
        await transaction.lock(("jobs", job_id), LockMode.ALONE)
        return self._tables.rows[job_id]
