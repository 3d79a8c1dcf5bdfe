"""Memory that was needed for a moment goes back to the system (glibc's malloc; elsewhere nothing is done).

By itself glibc keeps it: each large block that is freed raises the size from which blocks are mapped apart,
up to 32 MiB, and one small object that lives above freed ones pins them all (mallopt(3), malloc_trim(3)).
"""

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable

from orchestrator.domain.byte_budget import MIB
from orchestrator.runtime.heaps import HEAPS_MOST
from orchestrator.runtime.process_vitals import resident_bytes

MAPPED_FROM_BYTES = 32 * MIB
"""Blocks of this size and more are mapped apart, and unmapped when they are freed: more than any body has. A
mapping is new memory, which the system clears page by page: a copy of five megabytes takes 4 ms there, and
0.2 ms in memory that was used before.
"""
KEPT_AT_TOP_BYTES = 64 * MIB
"""Free memory at the end of the heap that stays for the next large block, until the trimmer comes."""
KEPT_AT_TOPS_BYTES = 16 * MIB
"""The same of each heap where threads have their own: a trim leaves that of all but the first as it is."""
LOOK_EVERY_S = 5.0
LOOK_MOST_S = 20.0
"""Where a trim gave little back the next one comes later: memory that is in use is not to be had."""
GROWN_BY_BYTES = 16 * MIB
"""Growth above the least that the process has had which is worth a trim: that takes milliseconds, in a thread
of its own.
"""
WORTH_BYTES = 4 * MIB

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def give_memory_back() -> None:
    """Let this process's memory shrink again after it has grown: call it once, when the process begins."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        # It is where a Ray of our own has started this process.
        one_heap = os.environ.get(HEAPS_MOST) == "1"
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_AT_TOP_BYTES if one_heap else KEPT_AT_TOPS_BYTES)
        # Threads that are there already keep the heap that they have.
        libc.mallopt(_M_ARENA_MAX, 1)
        trimmer = Trimmer(libc.malloc_trim)
        threading.Thread(target=trimmer.run, name="memory-trimmer", daemon=True).start()


class Trimmer:
    """Trims the heap while the process holds more than it once needed.

    Args:
        trim: glibc's ``malloc_trim``.
    """

    def __init__(self, trim: Callable[[int], object]) -> None:
        self._trim = trim
        self._least = resident_bytes()
        self.pause_s = LOOK_EVERY_S

    def run(self) -> None:
        """Look from time to time; never returns."""
        pause = threading.Event()
        while True:
            pause.wait(self.pause_s)
            self.look()

    def look(self) -> bool:
        """Trim if the process has grown; say whether it had."""
        before = resident_bytes()
        self._least = min(self._least, before)
        if before <= self._least + GROWN_BY_BYTES:
            self.pause_s = LOOK_EVERY_S
            return False
        self._trim(0)
        worth_it = before - resident_bytes() > WORTH_BYTES
        self.pause_s = LOOK_EVERY_S if worth_it else min(2 * self.pause_s, LOOK_MOST_S)
        return True
