"""The processes of Ray without which its actors are lost, though Ray itself waits for them in vain."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import ray

RAYLET, GCS = "raylet", "gcs_server"


def raylets() -> Iterator[tuple[int, dict[str, str]]]:
    """Find the raylets of this machine: their pids and options."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            words = process.joinpath("cmdline").read_text().split("\0")
            if Path(words[0]).name == "raylet":
                pairs = (word.removeprefix("--").partition("=") for word in words if word.startswith("--"))
                yield int(process.name), {name: value for name, _, value in pairs}


def open_parts() -> dict[int, str]:
    """Open pidfds for this node's raylet, and for the GCS where it is our own."""
    own_node = ray.get_runtime_context().get_node_id()
    pids = {pid: RAYLET for pid, options in raylets() if options.get("node_id") == own_node}
    pids |= dict.fromkeys(_own_gcs(), GCS)
    found = {}
    for pid, name in pids.items():
        with contextlib.suppress(OSError):
            found[os.pidfd_open(pid)] = name
    return found


def _own_gcs() -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            before, _, rest = process.joinpath("stat").read_text().partition(") ")
            if before.partition("(")[2] == GCS and int(rest.split()[1]) == os.getpid():
                yield int(process.name)
