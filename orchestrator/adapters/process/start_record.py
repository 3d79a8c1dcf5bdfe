"""Remembers failed starts from one process to the next, in a file beside the data."""

import contextlib
from pathlib import Path

import msgspec

from orchestrator.domain.cluster.failed_starts import FailedStarts

UNTOLD = "its process ended without a word: see service.log and the machine's own log"


class StartRecord:
    """The starts in a row that failed, as a file knows them. A start counts as failed from its beginning
    until it is proven: a process that is killed can't say so.

    Args:
        path: Where it is kept; it is there only while a start has failed, or is not proven yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = FailedStarts()

    def read(self) -> FailedStarts:
        """Read what went before; nothing where there is no file, or none that could be read yet."""
        try:
            self._before = msgspec.json.decode(self._path.read_bytes(), type=FailedStarts)
        except FileNotFoundError:
            self._before = FailedStarts()
        except (OSError, msgspec.DecodeError):
            pass
        return self._before

    def begin(self) -> None:
        """A start begins."""
        self.fail(UNTOLD)

    def fail(self, reason: str) -> None:
        """It has failed. Where that can't be written, on a full disk say, those before it count still."""
        with contextlib.suppress(OSError):
            self._path.write_bytes(msgspec.json.encode(self._before.and_one(reason)))

    def forget(self) -> None:
        """It went well, or is to be judged by itself."""
        self._before = FailedStarts()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
