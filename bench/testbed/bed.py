"""Machines and the paths between them, made and taken down together."""

import contextlib
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.testbed.machine import CHECKOUT, Machine, MachinePlan
from bench.testbed.router import Done, Order, Started
from bench.testbed.wan import Way

RTT_MS = {
    ("hub", "iad"): 1,
    ("hub", "lax"): 60,
    ("hub", "ord"): 30,
    ("iad", "lax"): 60,
    ("iad", "ord"): 30,
    ("lax", "ord"): 45,
    ("gate", "hub"): 1,
    ("gate", "iad"): 1,
    ("gate", "lax"): 60,
    ("gate", "ord"): 30,
    ("net", "gate"): 5,
    ("net", "hub"): 5,
    ("net", "iad"): 5,
    ("net", "lax"): 20,
    ("net", "ord"): 10,
}
"""Round trips between the usual machines: ``hub`` is a head without a region, ``gate`` a machine for the
gateway alone, ``net`` the world outside."""
USUAL = (
    MachinePlan("hub", "10.77.0.1"),
    MachinePlan("iad", "10.77.1.1", clock_ahead_s=10_000),
    MachinePlan("lax", "10.77.2.1", clock_ahead_s=200_000),
    MachinePlan("ord", "10.77.3.1", clock_ahead_s=3_000),
    MachinePlan("gate", "10.77.4.1", clock_ahead_s=50_000),
    MachinePlan("net", "10.77.9.1"),
)


class Router:
    """The process that moves packets between machines."""

    def __init__(self, plans: Sequence[MachinePlan]) -> None:
        addresses = [f"{plan.name}={plan.address}" for plan in plans]
        self._process = subprocess.Popen(
            (sys.executable, "-m", "bench.testbed.router", *addresses),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
        )
        assert self._process.stdout is not None
        started = msgspec.json.decode(self._process.stdout.readline(), type=Started)
        self._namespaces = started.namespaces

    def namespace(self, machine: str) -> str:
        """Name the file that is a machine's network namespace."""
        return f"/proc/{self._process.pid}/fd/{self._namespaces[machine]}"

    def order(self, order: Order) -> Done:
        """Have it do something to ways.

        Raises:
            ValueError: It does not know how.

        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        done = msgspec.json.decode(self._process.stdout.readline(), type=Done)
        if done.error is not None:
            raise ValueError(done.error)
        return done

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Testbed:
    """Machines by name, and what can be done to the paths between them."""

    __test__ = False  # for pytest: no class of tests

    def __init__(self, plans: Sequence[MachinePlan], directory: Path) -> None:
        self._router = Router(plans)
        self.directory = directory
        self.machines = {
            plan.name: Machine(plan, directory / plan.name, self._router.namespace(plan.name))
            for plan in plans
        }
        hosts = "".join(f"{plan.address} {plan.name}\n" for plan in plans)
        for machine in self.machines.values():
            machine.disk.joinpath("etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}")

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def boot(self) -> None:
        """Switch every machine on."""
        for machine in self.machines.values():
            machine.boot()

    def close(self) -> None:
        """Switch every machine off, and end the router."""
        for machine in self.machines.values():
            machine.lose_power()
        self._router.close()

    def shape(
        self, one: str, other: str, changes: Mapping[str, float | None], *, one_way: bool = False
    ) -> Done:
        """Change fields of ``wan.Path``, in both directions or from ``one`` only."""
        return self._router.order(Order("shape", self._ways(one, other, one_way=one_way), dict(changes)))

    def cut(self, one: str, other: str | None = None, *, one_way: bool = False) -> None:
        """Cut a machine off from another, or from all: both ways, or only what it sends."""
        self._router.order(Order("cut", self._ways(one, other, one_way=one_way)))

    def heal(self, one: str, other: str | None = None) -> None:
        """Undo every cut between a machine and another, or all."""
        self._router.order(Order("heal", self._ways(one, other, one_way=False)))

    def _ways(self, one: str, other: str | None, *, one_way: bool) -> list[Way]:
        others = [name for name in self.machines if name != one] if other is None else [other]
        there = [(one, name) for name in others]
        return there if one_way else [*there, *((name, one) for name in others)]


@contextlib.contextmanager
def running_testbed(
    plans: Sequence[MachinePlan] = USUAL, rtt_ms: dict[tuple[str, str], float] | None = None
) -> Iterator[Testbed]:
    """Make machines, with so many milliseconds of round trip between them, until the block ends."""
    # Short: Ray's sockets lie in it.
    directory = Path(tempfile.mkdtemp(prefix="ezt-bed-"))
    bed = None
    try:
        bed = Testbed(plans, directory)
        for one, other in itertools.combinations(bed.machines, 2):
            both = RTT_MS if rtt_ms is None else rtt_ms
            rtt = both.get((one, other), both.get((other, one), 0.2))
            bed.shape(one, other, {"delay_ms": rtt / 2})
        bed.boot()
        yield bed
    finally:
        if bed is not None:
            bed.close()
        shutil.rmtree(directory, ignore_errors=True)
