"""A unit as an init system has it: runs a command once an address can be reached, ends what it leaves, and
runs it again a second later. ``deploy/ray/ezthrottle-ray-node.service`` does the same.

    python -m bench.testbed.unit ADDRESS|- COMMAND ...

`ray start --block` returns when its raylet has died, as after a cut that was long enough for the cluster to
call the node dead. Nothing in Ray starts it again.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

from bench.service import descendants

AGAIN_AFTER_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command for ever."""
    # What the command leaves comes to this process, so that it is found.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    address, *command = sys.argv[1:]
    while True:
        _await(address)
        subprocess.run(command, check=False)
        _end_what_is_left()
        time.sleep(AGAIN_AFTER_S)


def _await(address: str) -> None:
    host, _, port = address.rpartition(":")
    while host:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.5)


def _end_what_is_left() -> None:
    while below := [pid for pid in descendants(os.getpid()) if pid != os.getpid()]:
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


if __name__ == "__main__":
    main()
