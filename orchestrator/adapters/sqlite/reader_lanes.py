"""The embedded store's readers: what must be quick never waits behind what may wait."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from orchestrator.adapters.sqlite.connections import connect
from orchestrator.core.turns import Turns
from orchestrator.ports.lifecycle import Closeable
from orchestrator.ports.store import StoreFailure

_T = TypeVar("_T")


class ReaderLane(Closeable):
    """One thread with one connection. WAL lets each read beside the writer and beside the other lanes."""

    def __init__(self, path: Path, name: str) -> None:
        self._connection = connect(path)
        self._thread = ThreadPoolExecutor(1, f"store-{name}")

    async def read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a read in the lane's thread, behind what was asked for before. All its queries see one moment.

        Raises:
            StoreFailure: The disk gives nothing just now.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._at_one_moment, read)
        except sqlite3.Error as error:
            raise StoreFailure(str(error)) from error

    async def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run a query in the lane's thread.

        Raises:
            StoreFailure: The disk gives nothing just now.
        """
        return await self.read(lambda db: db.execute(sql, values).fetchall())

    def close(self) -> None:
        """Finish what is being read, and close."""
        self._thread.shutdown()
        self._connection.close()

    def _at_one_moment(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        self._connection.execute("BEGIN")
        try:
            return read(self._connection)
        finally:
            self._connection.rollback()


class ReaderLanes(Closeable):
    """``quick``: keys and secrets. ``work``: what jobs and deliveries under way need. ``shown``: what
    customers look at, in turn, so that one who reads a thousand results at once waits for himself alone.
    """

    def __init__(self, path: Path) -> None:
        self.quick = ReaderLane(path, "quick")
        self.work = ReaderLane(path, "work")
        self._shown = ReaderLane(path, "shown")
        self._turns = Turns()

    async def shown(self, reader: str, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a read that a customer asked for.

        Raises:
            StoreFailure: The disk gives nothing just now.
        """
        async with self._turns.turn(reader):
            return await self._shown.read(read)

    def close(self) -> None:
        """Finish what is being read, and close."""
        for lane in (self.quick, self.work, self._shown):
            lane.close()
