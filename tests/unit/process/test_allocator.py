"""What was needed for a moment goes back to the system."""

import subprocess
import sys

GROWS_AND_SHRINKS = """
import ctypes
from orchestrator.runtime import allocator
from orchestrator.runtime.process_vitals import resident_bytes

allocator.give_memory_back()
trimmer = allocator.Trimmer(ctypes.CDLL(None).malloc_trim)
before = resident_bytes()
blocks = [bytearray(60_000) for _ in range(2_000)] + [bytearray(5_000_000) for _ in range(30)]
pins = [bytearray(600)]
high = resident_bytes()
# A trim while everything is in use gives nothing back, and must not be the last one.
trimmer.look()
blocks.clear()
print(high - before, trimmer.look(), resident_bytes() - before, trimmer.look())
"""


def test_a_process_that_has_grown_shrinks_again() -> None:
    command = [sys.executable, "-c", GROWS_AND_SHRINKS]
    grown, trimmed, kept, again = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()

    assert float(grown) > 200_000_000
    assert float(kept) < 32_000_000
    assert again == "False"
    assert trimmed in ("True", "False")
