"""A data directory's files: the database, the encryption keys, and the lock of the process that has it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.adapters.secret_box import AesGcmBox, open_key_file
from orchestrator.adapters.sqlite.key_check import WrongKeyError

DATABASE = "ezthrottle.db"
KEY_FILE = "encryption.key"
LOCK_FILE = "shard.lock"
LOCK_WAIT_S = 5.0


class DatabaseMissingError(ValueError):
    """A data directory that was in use has no database."""


def is_in_use(data_dir: Path) -> bool:
    """Say whether a directory holds a database."""
    return (data_dir / DATABASE).exists()


def lock(path: Path) -> int:
    """Take the data directory for this process; wait a little for one that is just dying."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                msg = f"another process holds {path.parent}: stop it, or choose another --data-dir"
                raise RuntimeError(msg) from None
            time.sleep(0.05)
        else:
            return handle


@contextlib.contextmanager
def free_lock(path: Path) -> Iterator[bool]:
    """Hold the directory's lock if no process has it; say whether that is so. Makes no lock file: where one
    lies, the directory was in use.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _is_locked_by_us(handle)
    finally:
        os.close(handle)


def _is_locked_by_us(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def data_files(data_dir: Path) -> tuple[Path, AesGcmBox]:
    """Make the data directory if it is not there, its files its owner's alone, and open its key file.

    Raises:
        ValueError: The key file is damaged; or it is missing, or the database is, and the other is there.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = data_dir / DATABASE
    _refuse_half(data_dir)
    # SQLite gives its other files the mode that this one has.
    database.touch(0o600)
    for path in (database, *(Path(f"{database}{suffix}") for suffix in ("-wal", "-shm"))):
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    return database, open_key_file(data_dir / KEY_FILE)


def _refuse_half(data_dir: Path) -> None:
    """Begin nothing anew where only half of a data directory is left: that would seem to have worked."""
    database, key_file = data_dir / DATABASE, data_dir / KEY_FILE
    has_rows = database.exists() and database.stat().st_size > 0
    if has_rows and not key_file.exists():
        raise WrongKeyError(
            f"{key_file} is missing, and without it nothing in {database} can be read: put it back from its "
            "backup; to begin anew, move the database away"
        )
    if not database.exists() and (data_dir / LOCK_FILE).exists():
        raise DatabaseMissingError(
            f"{database} is missing, though {data_dir} was in use: put it back from its backup; to begin "
            f"anew, delete {LOCK_FILE} there"
        )
