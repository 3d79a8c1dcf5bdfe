"""A copy of a data directory's database, made while the service runs or not."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.adapters.sqlite.data_dir import DATABASE, KEY_FILE
from orchestrator.ports.store import StoreFailure

PAGES_AT_ONCE = 1_000
"""Copied between two of the service's commits; 4 MB that it never waits for."""


def back_up_directory(data_dir: Path, to: Path) -> Path:
    """Copy a directory's rows as they stand at one moment; the copy is whole on disk when this returns. Give
    the file of the keys that open it, which is not copied.

    Raises:
        FileExistsError: ``to`` is there already.
        StoreFailure: What lies there is no database, or the copy is damaged.
        OSError: ``to`` can't be written.
    """
    database = data_dir / DATABASE
    try:
        _back_up(database, to)
    except sqlite3.Error as error:
        raise StoreFailure(f"{database} could not be copied: {error}") from error
    return data_dir / KEY_FILE


def _back_up(database: Path, to: Path) -> None:
    # Taken for us alone before anything is in it.
    os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    aside = to.with_name(f"{to.name}.part")
    try:
        aside.unlink(missing_ok=True)
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(database, aside)
        aside.replace(to)
    except BaseException:
        aside.unlink(missing_ok=True)
        to.unlink()
        raise


def _copy(database: Path, to: Path) -> None:
    source = sqlite3.connect(f"file:{database}?mode=rw", uri=True)
    with closing(source), closing(sqlite3.connect(to)) as target:
        source.backup(target, pages=PAGES_AT_ONCE)
        target.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        msg = f"the copy is damaged ({verdict}): so is the database, or the disk"
        raise sqlite3.DatabaseError(msg)
    with to.open("rb") as written:
        os.fsync(written.fileno())
