"""What one ``serve`` has to itself: its data directory, and a short temporary directory for Ray."""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_DIR = "EZTHROTTLE_RUN_DIR"
"""The environment variable that tells the driver of its temporary directory."""
RAYS_PART = "r"
"""The directory in there that Ray may have. Ray sets it, and all that it makes below, to 0777: so others must
not come as far as that.
"""
SERVED_FILE = "served"
"""A file in there that the driver makes once it is ready."""
SERVED_BEFORE = "EZTHROTTLE_SERVED_BEFORE"
"""Set for a driver whose predecessor was ready: what that found will be there again, and is waited for."""
_RAY_TEMP_MAX_BYTES = 42
"""Ray puts sockets some 65 bytes deeper, and a socket's path ends at 107."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class RefusedError(Exception):
    """The service can't start here; the message says why, and what to do about it."""


class HeldError(RefusedError):
    """Another process has it."""


@contextmanager
def held_data_dir(data_dir: Path) -> Iterator[Path]:
    """Make ``data_dir`` where it is missing, and hold the lock in it; give its resolved path.

    Others may not write in it: whoever can put another file in place of the database, the key file or the
    token is the service. Raises RefusedError when another ``serve`` holds it, or when it can't be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep_others_from_writing(data_dir)
        lock = _open_lock(data_dir / "serve.lock")
    except OSError as error:
        raise RefusedError(
            f"the data directory {data_dir} can't be used: {error}; choose another with --data-dir"
        ) from error
    try:
        _take(lock, data_dir)
        yield data_dir.resolve()
    finally:
        os.close(lock)


def _keep_others_from_writing(directory: Path) -> None:
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & _OTHERS_WRITE:
        directory.chmod(mode & ~_OTHERS_WRITE)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _take(lock: int, data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        raise HeldError(
            f"another serve (pid {holder}) holds the data directory {data_dir}; "
            "stop it first, or choose another directory with --data-dir"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def run_dir_path(tree_id: str, tmpdir: str | None) -> Path:
    """Choose ``ezt-<8 hex>`` in ``tmpdir``, or in /tmp where that is relative or too long for Ray."""
    name = f"ezt-{tree_id[:8]}"
    preferred = Path(tmpdir or "/tmp", name)  # noqa: S108 - claimed by owner and lock, never followed
    if preferred.is_absolute() and len(os.fsencode(preferred / RAYS_PART)) <= _RAY_TEMP_MAX_BYTES:
        return preferred
    return Path("/tmp", name)  # noqa: S108 - as above


class RunDir:
    """A temporary directory of ours alone (0700), locked while in use; all work goes through its descriptor.
    The batch socket lies in it, and Ray's files in a directory of their own below it.

    The lock keeps systemd-tmpfiles from pruning a long-lived service's sockets, and a second
    ``serve`` out when somebody has deleted the data directory with the first one's lock in it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def claimed(cls, path: Path) -> "Iterator[RunDir]":
        """Make or take over ``path``. Raises RefusedError where it is a link, in use, or another user's."""
        try:
            descriptor = _open_own_directory(path)
        except OSError as error:
            raise RefusedError(
                f"the temporary directory {path} can't be used: {error}; remove it, or set TMPDIR to a "
                "directory of your own with a short path"
            ) from error
        try:
            yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    def wipe(self) -> None:
        """Delete what is in it."""
        with os.scandir(self._descriptor) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            if is_directory:
                shutil.rmtree(name, dir_fd=self._descriptor)
            else:
                os.unlink(name, dir_fd=self._descriptor)

    def remove(self) -> None:
        """Delete it with what is in it."""
        self.wipe()
        self.path.rmdir()


def _open_own_directory(path: Path) -> int:
    if not path.is_symlink():
        path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError("it belongs to another user")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(descriptor, 0o700)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
