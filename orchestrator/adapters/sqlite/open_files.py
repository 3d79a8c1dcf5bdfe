"""The database's files: whether they are still those that were opened, and the durability of the first."""

import os
import sqlite3
from pathlib import Path

from orchestrator.ports.store_numbers import DiskRoom

SUFFIXES = ("", "-wal")


class DatabaseGoneError(sqlite3.OperationalError):
    """A file of the database was deleted or replaced: what is written goes nowhere."""


class OpenFiles:
    """Knows a database's files by their inodes: SQLite keeps both for as long as a connection is open."""

    def __init__(self, database: Path) -> None:
        self._descriptor = os.open(database, os.O_RDONLY)
        self._known = {path: _inode(path) for path in (f"{database}{suffix}" for suffix in SUFFIXES)}

    def gone(self) -> str | None:
        """Name a file that was deleted, or that another one lies in the place of; None where all is well."""
        return next((path for path, inode in self._known.items() if _inode(path) != inode), None)

    def room(self) -> DiskRoom | None:
        """Measure the files, and the disk that they lie on; None where they are gone."""
        try:
            disk = os.fstatvfs(self._descriptor)
            database, log = (Path(path).stat().st_size for path in self._known)
        except OSError:
            return None
        return DiskRoom(
            size_bytes=disk.f_frsize * disk.f_blocks,
            free_bytes=disk.f_frsize * disk.f_bavail,
            database_bytes=database,
            log_bytes=log,
        )

    def sync(self) -> None:
        """Make what was written to the database's own file durable; blocks until it is.

        Raises:
            OSError: The disk failed.
        """
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Call once no connection is open: who closes any descriptor of a file gives up all locks that his
        process has on it (sqlite.org/howtocorrupt.html, 2.2).
        """
        os.close(self._descriptor)

    def check(self) -> None:
        """Raise where one is gone.

        Raises:
            DatabaseGoneError: It was deleted or replaced.
        """
        if path := self.gone():
            raise DatabaseGoneError(
                f"{path} was deleted or replaced while in use: stop the service, put it back, start again"
            )


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # at every commit: half the price
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
