"""Moving what was committed from the write-ahead log into the database, beside the writer.

By itself SQLite does that within a commit, for which everybody waits: half of what a large one takes
(sqlite.org/wal.html, "Performance Considerations").
"""

import contextlib
import sqlite3
import threading
from pathlib import Path

from orchestrator.adapters.sqlite.connections import connect

EVERY_WRITES = 300
"""Writes between two checkpoints: some 1,000 pages, as by default."""
LOG_PAGES_MOST = 16_384
"""Pages (4 KiB each) from which on the writer does it after all: a log that is never moved whole, since
more comes meanwhile, would grow without end.
"""


class Checkpointer:
    """A thread with a connection of its own."""

    def __init__(self, path: Path, writer: sqlite3.Connection) -> None:
        writer.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MOST}")
        self._connection = connect(path)
        self._written = 0
        self._due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, writes: int, *, large: bool) -> None:
        """Hear of a commit; a large write asks for a checkpoint by itself."""
        self._written += writes
        if large or self._written >= EVERY_WRITES:
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
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
