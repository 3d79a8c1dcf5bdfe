"""Moving what was committed from the write-ahead log into the database, beside the writer.

By itself SQLite does that within a commit, for which everybody waits: half of what a large one takes
(sqlite.org/wal.html, "Performance Considerations").
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator.adapters.sqlite.connections import connect
from orchestrator.ports.lifecycle import Closeable

EVERY_WRITES = 300
"""Writes between two checkpoints: some 1,000 pages, as by default."""
SMALL_BYTES = 16 * 1024
"""What a small write fills: some four pages."""
LOG_PAGES_MOST = 16_384
"""Pages (4 KiB each) from which on the writer does it after all: a log that is never moved whole, since
more comes meanwhile, would grow without end.
"""


class Checkpointer(Closeable):
    """A thread with a connection of its own.

    SQLite syncs the database only where a checkpoint reaches the log's end, which beside a busy writer is
    never: the writer would do it for 64 MiB at once, and everybody waited 200 ms. So each one is followed by
    ``sync``, which makes the database's file durable.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection, sync: Callable[[], None]) -> None:
        writer.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MOST}")
        self._connection = connect(path)
        self._sync = sync
        self._written = 0
        self._due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, writes: int, large_bytes: int) -> None:
        """Count a commit's writes, and as so many more the bytes of large ones."""
        self._written += writes + large_bytes // SMALL_BYTES
        if self._written >= EVERY_WRITES:
            self._written = 0
            self._due.set()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._due.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._due.wait() and not self._closing:
            self._due.clear()
            # A disk that takes nothing now is the writer's to tell of; nothing is lost meanwhile.
            with contextlib.suppress(sqlite3.Error, OSError):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._sync()
