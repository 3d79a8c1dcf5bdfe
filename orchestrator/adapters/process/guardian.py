"""Ends the tree of a ``serve`` that was killed itself, and so could not.

Each driver's life has one beside it: a process that sleeps until the other end of its standard input is
closed, which the kernel does when ``serve`` dies, however it dies. It carries the mark of the tree: whoever
ends the tree, the next ``serve`` too, ends it as well, so that it never meets a later life.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from orchestrator.adapters.process.tree import ProcessTree

KILL_TIMEOUT_S = 15.0


@contextmanager
def guarded(tree_id: str, env: Mapping[str, str]) -> Iterator[None]:
    """Have the tree ended if this process dies within the block; ``env`` bears the tree's mark."""
    read_end, write_end = os.pipe()
    try:
        subprocess.Popen(  # noqa: S603  # this module; whoever ends the tree ends it, and the parent reaps it
            (sys.executable, "-P", "-m", __name__, tree_id),
            env=env,
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(read_end)
    try:
        yield
    finally:
        os.close(write_end)


def main() -> None:
    """Sleep until the parent is dead, and end what it left."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    ProcessTree(sys.argv[1]).kill(timeout_s=KILL_TIMEOUT_S)


if __name__ == "__main__":
    main()
