"""Writes that have to succeed: a disk that is full for a moment costs a wait, not the shard."""

import asyncio
import contextlib
import logging
import math
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from msgspec import Struct

from orchestrator.adapters.sqlite.open_files import DatabaseGoneError
from orchestrator.ports.store import StoreFailure

PASSING = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN})
"""Primary result codes of what may be over in a moment: room is made, a volume comes back."""
PRIMARY = 0xFF
"""The bits of an extended result code that are its primary one (sqlite.org/rescode.html)."""

log = logging.getLogger(__name__)


class Patience(Struct, frozen=True, kw_only=True):
    """How long a write is tried again, and how soon the first time; pauses double up to ``pause_most_s``."""

    lasts_s: float = 60.0
    pause_s: float = 0.1
    pause_most_s: float = 5.0

    async def until_written(self, what: str, write: Callable[[], Awaitable[Any]]) -> Any:
        """Run ``write`` until it succeeds.

        Raises:
            StoreFailure: It failed for longer than ``lasts_s``.
            sqlite3.Error: It would fail again.
        """
        gives_up_at, pause_s = time.monotonic() + self.lasts_s, self.pause_s
        while True:
            try:
                return await write()
            except sqlite3.Error as error:
                if not passes(error):
                    raise
                if isinstance(error, DatabaseGoneError):
                    # Another life of the shard would find no more of it: people have to act.
                    gives_up_at = math.inf
                if time.monotonic() + pause_s > gives_up_at:
                    raise StoreFailure(str(error)) from error
                log.warning("%s could not be written, and waits: %s", what, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self.pause_most_s)


@contextlib.contextmanager
def failing_as_store() -> Iterator[None]:
    """Raise StoreFailure for what may be over in a moment."""
    try:
        yield
    except sqlite3.Error as error:
        if not passes(error):
            raise
        raise StoreFailure(str(error)) from error


def passes(error: sqlite3.Error) -> bool:
    """Whether the same write may succeed later."""
    gone = isinstance(error, DatabaseGoneError)
    return gone or getattr(error, "sqlite_errorcode", 0) & PRIMARY in PASSING
