"""Memory that was needed for a moment goes back to the system (glibc's malloc; elsewhere nothing is done).

By itself glibc keeps it: each large block that is freed raises the size from which blocks are mapped apart,
up to 32 MiB, and one small object that lives above freed ones pins them all (mallopt(3), malloc_trim(3)).
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable

from orchestrator.domain.byte_budget import MIB
from orchestrator.runtime.process_vitals import resident_bytes

MAPPED_FROM_BYTES = MIB
"""Blocks of this size and more are mapped apart, and unmapped when they are freed. Sockets read into less."""
ARENAS_MOST = 2
"""Heaps for threads beside the main one, each of which keeps what it has freed."""
LOOK_EVERY_S = 5.0
GROWN_BY_BYTES = 16 * MIB
"""Growth since the last time that is worth a trim: it takes milliseconds, in a thread of its own."""

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


def give_memory_back() -> None:
    """Let this process's memory shrink again after it has grown: call it once, when the process begins."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        libc.mallopt(_M_ARENA_MAX, ARENAS_MOST)
        trimmer = Trimmer(libc.malloc_trim)
        threading.Thread(target=trimmer.run, name="memory-trimmer", daemon=True).start()


class Trimmer:
    """Trims the heap when it has grown since the last time.

    Args:
        trim: glibc's ``malloc_trim``.
    """

    def __init__(self, trim: Callable[[int], object]) -> None:
        self._trim = trim
        self._kept = resident_bytes()

    def run(self) -> None:
        """Look from time to time; never returns."""
        pause = threading.Event()
        while True:
            pause.wait(LOOK_EVERY_S)
            self.look()

    def look(self) -> bool:
        """Trim if the process has grown; say whether it had."""
        grown = resident_bytes() > self._kept + GROWN_BY_BYTES
        if grown:
            self._trim(0)
        # It may have shrunk by itself meanwhile: what it grows from there is worth a trim too.
        self._kept = resident_bytes() if grown else min(self._kept, resident_bytes())
        return grown
