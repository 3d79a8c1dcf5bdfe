"""The embedded store: one SQLite file, one writer thread, readers beside it."""

import asyncio
import contextlib
import os
from pathlib import Path

from orchestrator.adapters.sqlite.audit import SqliteAudit
from orchestrator.adapters.sqlite.customers import SqliteCustomers
from orchestrator.adapters.sqlite.data_dir import LOCK_FILE, data_files, lock
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.disk_retry import Patience, failing_as_store
from orchestrator.adapters.sqlite.history import SqliteHistory
from orchestrator.adapters.sqlite.jobs import SqliteJobs
from orchestrator.domain.jobs.retention import Retention
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.store_numbers import StoreNumbers


class SqliteStore(AsyncCloseable):
    """The Store port on SQLite. Holds the data directory's lock for as long as it is open.

    Raises:
        StoreFailure: The disk takes or gives nothing just now.
        sqlite3.Error: What lies there is no database.
        ValueError: It was sealed with another key, or the key file is damaged.
        RuntimeError: Another process holds the directory.
    """

    def __init__(
        self, data_dir: Path, *, retention: Retention | None = None, patience: Patience | None = None
    ) -> None:
        path, box = data_files(data_dir)
        with contextlib.ExitStack() as undo, failing_as_store():
            held = lock(data_dir / LOCK_FILE)
            undo.callback(os.close, held)
            self.database = Database(path, box, patience or Patience(), alone=True)
            self._held = undo.pop_all()
        self._closing: asyncio.Task[None] | None = None
        self.jobs = SqliteJobs(self.database, retention or Retention())
        self.history = SqliteHistory(self.database)
        self.customers = SqliteCustomers(self.database)
        self.audit = SqliteAudit(self.database)

    @property
    def lost(self) -> str | None:
        """Name a file of the database that is not there any more, or who took the shard over: what is written
        goes nowhere.
        """
        return self.database.lost

    @property
    def refused(self) -> str:
        """Why the disk took nothing of the last commit; empty where it did."""
        return self.database.refused

    def numbers(self) -> StoreNumbers:
        """Count its commits, and what room there is."""
        return self.database.numbers()

    async def close(self) -> None:
        """Commit what waits and close. Who comes second waits for the same end."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self.jobs.close()
        await self.database.close()
        # Once, for the number may be another file's by the second time: an exit stack is empty then.
        self._held.close()
