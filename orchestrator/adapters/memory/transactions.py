"""Transactions over rows in memory, as a database server has them where several processes write at once.

What a transaction writes is seen by nobody until its commit, and by all from then on. Rows are locked, shared
or alone, until its end; who has to wait gets its turn in order. A transaction has a number from its begin on,
and numbers do not tell in which order commits come: a row may appear that has a lower number than others that
have been there for long. ``oldest_open`` is the number from which on such rows may still come.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum, auto

from orchestrator.ports.store import StoreFailure

RowKey = Hashable
"""What a row is locked by: its table, and its key."""


class GivenUp(StoreFailure):
    """A transaction was ended from outside, before its commit. Nothing was stored."""


class LockMode(Enum):
    """How a row is locked: ``FOR SHARE``, or ``FOR UPDATE``."""

    SHARED = auto()
    ALONE = auto()


class Transaction:
    """One that has begun. ``number`` is what rows bear that it inserts."""

    def __init__(self, transactions: "Transactions", number: int) -> None:
        self._transactions = transactions
        self._writes: list[Callable[[], None]] = []
        self.number = number
        self.rows: dict[RowKey, None] = {}
        """That it has locked, or waits for, in that order: runs of the simulation are to be the same."""

    async def lock(self, row: RowKey, mode: LockMode) -> None:
        """Lock a row until the end of this; blocks until others let go of it. Locks a row once.

        Raises:
            GivenUp: This was ended meanwhile.
        """
        await self._transactions.locks.take(self, row, mode)
        if not self.open:
            raise GivenUp

    def lock_now(self, row: RowKey, mode: LockMode) -> bool:
        """Lock a row if nobody is in the way; say whether that is so."""
        return self._transactions.locks.take_now(self, row, mode)

    @property
    def open(self) -> bool:
        """Whether this has not ended."""
        return self._transactions.is_open(self)

    def write(self, write: Callable[[], None]) -> None:
        """Change something at the commit."""
        self._writes.append(write)

    def commit(self) -> None:
        """Let all that was written be seen, and let go of every lock.

        Raises:
            GivenUp: This has ended before.
        """
        if not self.open:
            raise GivenUp
        for write in self._writes:
            write()
        self.end()

    def end(self) -> None:
        """Let go of every lock; what was not committed never was."""
        self._transactions.ended(self)


class Transactions:
    """Those of one database."""

    def __init__(self) -> None:
        self.locks = RowLocks()
        self._begun = 0
        self._open: set[Transaction] = set()

    def begin(self, within: Transaction | None = None) -> Transaction:
        """Begin one; ``within`` is one whose number its rows bear."""
        self._begun += within is None
        transaction = Transaction(self, self._begun if within is None else within.number)
        self._open.add(transaction)
        return transaction

    def is_open(self, transaction: Transaction) -> bool:
        """Whether one has not ended."""
        return transaction in self._open

    @property
    def oldest_open(self) -> int:
        """The lowest number whose rows may not be there yet; that of the next one, where none is open."""
        return min((each.number for each in self._open), default=self._begun + 1)

    def ended(self, transaction: Transaction) -> None:
        """One has committed, or was given up."""
        self._open.discard(transaction)
        self.locks.release(transaction)


class _Lock:
    """One row's holders, and who waits for it."""

    def __init__(self) -> None:
        self.holders: dict[Transaction, LockMode] = {}
        self.waiting: deque[tuple[Transaction, LockMode, asyncio.Future[None]]] = deque()

    def admits(self, mode: LockMode) -> bool:
        """Whether one more may hold it so."""
        shared = all(held is LockMode.SHARED for held in self.holders.values())
        return not self.holders or (mode is LockMode.SHARED and shared)

    def leave(self, transaction: Transaction) -> None:
        """Let whoever waits for it in a transaction that has ended wait no longer."""
        gone = [each for each in self.waiting if each[0] is transaction]
        self.waiting = deque(each for each in self.waiting if each[0] is not transaction)
        for _, _, turn in gone:
            if not turn.done():
                turn.set_result(None)

    def let_in(self) -> None:
        """Give it to those whose turn has come."""
        while self.waiting and self.admits(self.waiting[0][1]):
            transaction, mode, turn = self.waiting.popleft()
            if not turn.done():
                self.holders[transaction] = mode
                turn.set_result(None)


class RowLocks:
    """Of all rows; one that nobody has or waits for costs nothing."""

    def __init__(self) -> None:
        self._locks: dict[RowKey, _Lock] = {}

    async def take(self, transaction: Transaction, row: RowKey, mode: LockMode) -> None:
        """Lock a row, after those who came before."""
        if not self.take_now(transaction, row, mode):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            transaction.rows[row] = None
            self._locks[row].waiting.append((transaction, mode, turn))
            await turn

    def take_now(self, transaction: Transaction, row: RowKey, mode: LockMode) -> bool:
        """Lock a row if nobody has it or waits for it; say whether that is so."""
        lock = self._locks.setdefault(row, _Lock())
        if transaction in lock.holders:
            return True
        free = not lock.waiting and lock.admits(mode)
        if free:
            transaction.rows[row] = None
            lock.holders[transaction] = mode
        return free

    def release(self, transaction: Transaction) -> None:
        """Let go of all that a transaction holds or waits for."""
        for row in transaction.rows:
            lock = self._locks[row]
            lock.holders.pop(transaction, None)
            lock.leave(transaction)
            lock.let_in()
            if not lock.holders and not lock.waiting:
                del self._locks[row]
        transaction.rows.clear()
