"""The one log of a service: several processes write it, and it does not grow without end."""

import fcntl
import logging
import os
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from orchestrator.runtime.log_format import LOG_FORMAT, formatter

LOG_FILE = "EZTHROTTLE_LOG_FILE"
"""The environment variable that tells the processes of one machine which file they share."""
BYTES_MOST = 16 * 1024 * 1024
KEPT = 3
"""Earlier files beside the one that is written; ``service.log.1`` is the latest of them."""
QUIET = {"httpx": logging.WARNING, "httpcore": logging.WARNING, "uvicorn.error": logging.ERROR}
"""Libraries that have a line for each request, with its URL and so its query, or for each bad one."""


def log_to(path: Path) -> None:
    """Let this process log to ``path``, beside others that do."""
    _log_with(SharedLogHandler(path))


def let_inherit(path: Path, form: str) -> None:
    """Let the processes that this one starts log to ``path``, in a form of ``log_format``."""
    os.environ |= {LOG_FILE: str(path), LOG_FORMAT: form}


def log_here() -> None:
    """Let this process log where its own machine says: to the file of LOG_FILE, or else to standard error,
    which Ray keeps in its session's directory. Where another machine logs, it can't.
    """
    path = os.environ.get(LOG_FILE)
    _log_with(SharedLogHandler(Path(path)) if path else logging.StreamHandler())


def _log_with(handler: logging.Handler) -> None:
    handler.setFormatter(formatter(os.environ.get(LOG_FORMAT, "")))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


class SharedLogHandler(WatchedFileHandler):
    """Turns the file over when it is full, whichever of its writers finds that; the others follow."""

    def __init__(self, path: Path, bytes_most: int = BYTES_MOST) -> None:
        self._bytes_most = bytes_most
        super().__init__(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a disk that does not take it costs the record only."""
        try:
            super().emit(record)
            if self.stream is not None and os.fstat(self.stream.fileno()).st_size >= self._bytes_most:
                self._turn_over(self.stream)
        except OSError:
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        file = open(self.baseFilename, "ab", opener=_open_private)  # noqa: SIM115  # the handler closes it
        return TextIOWrapper(file, "utf-8", "backslashreplace")

    def _turn_over(self, full: TextIOWrapper) -> None:
        # Whoever comes second holds a file that has another name by then, and only opens the new one.
        fcntl.flock(full, fcntl.LOCK_EX)
        names = [self.baseFilename, *(f"{self.baseFilename}.{number}" for number in range(1, KEPT + 1))]
        if Path(names[0]).stat().st_ino == self.ino:
            for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
                if Path(newer).exists():
                    Path(newer).replace(older)
        self.reopenIfNeeded()


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor
