"""Words on stderr: the parent's own, and the driver's, whose last lines are kept."""

import os
import threading
from contextlib import suppress

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


class StderrRelay:
    """Copies what children write to ``write_end`` on to stderr.

    In a thread of its own, so that a paused terminal does not keep the parent from its signals.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self._tail = b""
        self._thread = threading.Thread(target=self._copy, name="stderr-relay", daemon=True)

    def start(self) -> None:
        """Begin, once the child has its copy of ``write_end``."""
        os.close(self.write_end)
        self._thread.start()

    def finish(self, *, timeout_s: float) -> list[str]:
        """Wait for the end of what was written, at most ``timeout_s``; give the last lines."""
        self._thread.join(timeout_s)
        return self._tail.decode(errors="replace").splitlines()[-_KEPT_LINES:]

    def _copy(self) -> None:
        while data := os.read(self._read_end, 65536):
            self._tail = (self._tail + data)[-_KEPT_BYTES:]
            _write(data)
        os.close(self._read_end)
