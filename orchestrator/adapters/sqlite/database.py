"""An open database: one writer that commits in groups, and readers beside it."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchestrator.adapters.secret_box import AesGcmBox
from orchestrator.adapters.sqlite.checkpoints import Checkpointer
from orchestrator.adapters.sqlite.connections import connect
from orchestrator.adapters.sqlite.course_parts import jobs_in_parts
from orchestrator.adapters.sqlite.disk_retry import Patience, failing_as_store
from orchestrator.adapters.sqlite.epochs import Fence, write_beat
from orchestrator.adapters.sqlite.group_commit import GroupCommitWriter, Write
from orchestrator.adapters.sqlite.key_check import check_keys, note_keys
from orchestrator.adapters.sqlite.migration import migrate
from orchestrator.adapters.sqlite.open_files import OpenFiles
from orchestrator.adapters.sqlite.reader_lanes import ReaderLanes
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.store import StoreFailure
from orchestrator.ports.store_numbers import StoreNumbers

SEALING_THREADS = 2


class Database(AsyncCloseable):
    """What the stores of a data directory share.

    Raises:
        StoreFailure: The disk takes or gives nothing just now.
        sqlite3.Error: What lies there is no database.
        ValueError: It was sealed with another key, or a later version wrote it; or a step of the schema is
            lacking that only who is ``alone`` may take.
    """

    def __init__(self, path: Path, box: AesGcmBox, patience: Patience, *, alone: bool) -> None:
        self.box = box
        with contextlib.ExitStack() as undo, failing_as_store():
            self.connection = connect(path)
            undo.callback(self.connection.close)
            prepare(self.connection, box, alone=alone)
            self.jobs_in_parts = jobs_in_parts(self.connection)
            self.lanes = ReaderLanes(path)
            undo.pop_all()
        self._patience = patience
        self._files = OpenFiles(path)
        self._checkpointer = Checkpointer(path, self.connection, self._files.sync)
        self.fence = Fence()
        self.writer = GroupCommitWriter(
            self.connection,
            asyncio.get_running_loop(),
            self._files.check,
            self.fence.check,
            self._checkpointer.committed,
        )
        # Not the loop's own pool, in which anybody's slow call would hold up submissions.
        self.sealers = ThreadPoolExecutor(SEALING_THREADS, "store-sealer")
        self._closing: asyncio.Task[None] | None = None

    @property
    def lost(self) -> str | None:
        """Name a file of the database that is not there any more, or who took the shard over: what is written
        goes nowhere.
        """
        return self._files.gone() or self.fence.met

    @property
    def refused(self) -> str:
        """Why the disk took nothing of the last commit; empty where it did. Where it did not, asking lets a
        small one be tried, for there may be nothing else to write until somebody says that there is room.
        """
        if why := self.writer.refused:
            self.writer.post(write_beat)
        return why

    def numbers(self) -> StoreNumbers:
        """Count the commits, and what room there is."""
        return StoreNumbers(
            commit_writes=self.writer.sizes, commit_seconds=self.writer.took, room=self._files.room()
        )

    def post(self, write: Write, *, size: int = 0) -> None:
        """Ask for a write that nobody waits for."""
        self.writer.post(write, size=size)

    async def written(self, write: Write, *, size: int = 0) -> Any:
        """Write, and wait for the commit.

        Raises:
            StoreFailure: It could not be written.
        """
        try:
            return await self.writer.write(write, size=size)
        except sqlite3.Error as error:
            raise StoreFailure(str(error)) from error

    async def kept(self, what: str, write: Write, *, size: int = 0) -> Any:
        """Write what work under way can't go on without, on a full disk after a while.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        return await self.tried(what, lambda: self.writer.write(write, size=size))

    async def tried(self, what: str, write: Callable[[], Awaitable[Any]]) -> Any:
        """Do so with something that takes more than one commit.

        Raises:
            StoreFailure: It could not be written all that time.
        """
        return await self._patience.until_written(what, write)

    async def close(self) -> None:
        """Commit what waits, and close. Who comes second waits for the same end: behind it the directory is
        let go of.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self.sealers, self._close_threads)
        self.sealers.shutdown()
        self.lanes.close()
        self.connection.close()
        self._files.close()

    def _close_threads(self) -> None:
        self.writer.close()
        self._checkpointer.close()


def prepare(connection: sqlite3.Connection, box: AesGcmBox, *, alone: bool) -> None:
    """Lay the schema, or complete an earlier one, and check that the encryption keys are those that the
    rows were sealed with.

    Raises:
        NewerSchemaError: A later version wrote it; it stays as it is.
        EarlierServiceError: The service that has it is of an earlier version; it stays as it is.
        WrongKeyError: They are others; it stays as it is.
    """
    connection.execute("BEGIN IMMEDIATE")
    check_keys(connection, box)
    migrate(connection, box, alone=alone)
    note_keys(connection, box)
    connection.execute("COMMIT")
