"""Another machine without delay: at the end of a cable, whose packets the kernel moves.

On a `Testbed` a router in user space moves them, which takes CPU time from whatever is measured.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.testbed.machine import Machine, MachinePlan
from bench.testbed.namespaces import enter_net, new_net

HERE, THERE = "10.78.0.1", "10.78.0.2"
CABLE = "cable0"


@contextlib.contextmanager
def machine_beside() -> Iterator[Machine]:
    """Give a machine that reaches this program as HERE, until the block ends.

    The calling thread, and whatever it starts from then on, is on a network of its own, for good.
    """
    here, there = new_net(), new_net()
    _ip(f"link add {CABLE} type veth peer name {CABLE} netns {_path(here)}")
    _switch_on(THERE)
    enter_net(here)
    _switch_on(HERE)
    with tempfile.TemporaryDirectory(prefix="ezt-beside-") as directory:
        plan = MachinePlan("beside", THERE, clock_ahead_s=10_000)
        machine = Machine(plan, Path(directory, "disk"), _path(there))
        machine.disk.joinpath("etc/hosts").write_text("127.0.0.1 localhost\n")
        machine.boot()
        try:
            yield machine
        finally:
            machine.lose_power()


def _switch_on(address: str) -> None:
    for command in ("link set lo up", f"addr add {address}/30 dev {CABLE}", f"link set {CABLE} up"):
        _ip(command)


def _ip(command: str) -> None:
    subprocess.run(("ip", *command.split()), check=True)


def _path(net: int) -> str:
    return f"/proc/{os.getpid()}/fd/{net}"
