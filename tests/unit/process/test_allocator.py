"""What was needed for a moment goes back to the system."""

import os
import subprocess
import sys

import pytest

from orchestrator.runtime.heaps import HEAPS_MOST

PROGRAM = """
import ctypes, resource, sys, threading
from orchestrator.runtime import allocator
from orchestrator.runtime.process_vitals import resident_bytes

allocator.give_memory_back()
trimmer = allocator.Trimmer(ctypes.CDLL(None).malloc_trim)

def shrinks():
    before = resident_bytes()
    blocks = [bytearray(60_000) for _ in range(2_000)] + [bytearray(5_000_000) for _ in range(30)]
    pins = [bytearray(600)]
    high = resident_bytes()
    # A trim while everything is in use gives nothing back, and must not be the last one.
    trimmer.look()
    blocks.clear()
    print(high - before, trimmer.look(), resident_bytes() - before, trimmer.look())

def faults():
    body = bytes(5_000_000)
    for _ in range(3):
        copy = bytes(bytearray(body))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        copy = bytes(bytearray(body))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

work = {"shrinks": shrinks, "faults": faults}[sys.argv[1]]
if sys.argv[2] == "main":
    work()
else:
    other = threading.Thread(target=work)
    other.start()
    other.join()
"""
threads = pytest.mark.parametrize(("thread", "heaps"), [("main", ""), ("other", ""), ("other", "1")])
"""Which thread works: an actor's event loop does not run in the main one. And how many heaps there are."""


def said(what: str, thread: str, heaps: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, what, thread]
    env = os.environ | ({HEAPS_MOST: heaps} if heaps else {})
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=env)
    return done.stdout.split()


@threads
def test_a_process_that_has_grown_shrinks_again(thread: str, heaps: str) -> None:
    grown, trimmed, kept, again = said("shrinks", thread, heaps)

    assert float(grown) > 200_000_000
    assert float(kept) < 32_000_000
    assert again == "False"
    assert trimmed in ("True", "False")


@threads
def test_a_large_body_is_copied_into_memory_that_was_used_before(thread: str, heaps: str) -> None:
    [faults] = said("faults", thread, heaps)

    pages_of_a_copy = 5_000_000 // 4096
    assert int(faults) < pages_of_a_copy
