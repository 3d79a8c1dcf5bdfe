"""Copies what is added to the service's log to stdout, for whoever collects that."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestrator.ports.lifecycle import Lifecycle

LOOKS_EVERY_S = 0.2
FINISHED_WITHIN_S = 2.0
_AT_ONCE = 64 * 1024


@contextmanager
def on_stdout(log: Path, *, wanted: bool) -> Iterator[None]:
    """Copy a log to stdout meanwhile, where that is wanted."""
    if not wanted:
        yield
        return
    follower = LogFollower(log)
    follower.start()
    try:
        yield
    finally:
        follower.stop()


class LogFollower(Lifecycle):
    """Follows a log from its end on, also when it is turned over, in a thread of its own.

    ``out`` is where lines go: stdout if left out. Who closes that costs the copy and nothing else. A start
    copies what is written from then on. A stop copies what is left; it blocks until that is done, and for two
    seconds where nobody takes it.
    """

    def __init__(self, path: Path, out: BinaryIO | None = None) -> None:
        self._path = path
        self._out = out or sys.stdout.buffer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log-follower", daemon=True)

    def _start(self) -> None:
        self._path.touch(mode=0o600)
        self._file = self._path.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._thread.start()

    def _stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(FINISHED_WITHIN_S)

    def _follow(self) -> None:
        with suppress(OSError, ValueError):
            while not self._over.is_set():
                self._copy()
                self._over.wait(LOOKS_EVERY_S)
            self._copy()
        self._file.close()

    def _copy(self) -> None:
        while self._is_turned_over():
            # Nothing more comes to a file that has another name.
            self._copy_rest()
            self._file.close()
            self._file = self._path.open("rb")
        self._copy_rest()

    def _copy_rest(self) -> None:
        while data := self._file.read(_AT_ONCE):
            self._out.write(data)
        self._out.flush()

    def _is_turned_over(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False
