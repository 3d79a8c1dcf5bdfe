"""Words on stderr: the parent's own, and the driver's, whose last lines are kept."""

import os
import threading
from contextlib import suppress

from orchestrator.ports.lifecycle import Lifecycle

_STDERR = 2
_KEPT_BYTES = 8192
_KEPT_LINES = 20


def say(message: str) -> None:
    """Write a line to stderr, if anybody still reads it."""
    _write(f"ezthrottle: {message}\n".encode(errors="replace"))


def _write(data: bytes) -> None:
    # The terminal may be closed by now, which must not keep the parent from its work.
    with suppress(OSError):
        while data:
            data = data[os.write(_STDERR, data) :]


class StderrRelay(Lifecycle):
    """Copies what children write to ``write_end`` on to stderr.

    In a thread of its own, so that a paused terminal does not keep the parent from its signals. It is started
    once the child has its copy of ``write_end``. A stop waits for the end of what is written, at most
    ``patience_s``: a copy may be in other hands still.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._read_end, self.write_end = os.pipe()
        self._tail = b""
        self._thread = threading.Thread(target=self._copy, name="stderr-relay", daemon=True)

    @property
    def last_lines(self) -> list[str]:
        """Give the last of what was written."""
        return self._tail.decode(errors="replace").splitlines()[-_KEPT_LINES:]

    def _start(self) -> None:
        os.close(self.write_end)
        self._thread.start()

    def _stop(self) -> None:
        if self._thread.ident is None:
            os.close(self.write_end)
            os.close(self._read_end)
        else:
            self._thread.join(self._patience_s)

    def _copy(self) -> None:
        while data := os.read(self._read_end, 65536):
            self._tail = (self._tail + data)[-_KEPT_BYTES:]
            _write(data)
        os.close(self._read_end)
