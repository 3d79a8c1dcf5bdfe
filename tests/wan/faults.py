"""What befalls a region, how long it lasts, and what the service promises of it."""

import itertools
import os
import signal
from collections.abc import Callable

from msgspec import Struct

from tests.wan.worlds import RayNodes, RegionAgents, World

LAX = "lax"
ELSEWHERE_WITHIN_S = 3.5
"""After the fault: what its region had runs in another one."""
BACK_WITHIN_S = {RayNodes: 15.0, RegionAgents: 5.0}
"""After the fault is over, or the region's process has been started again."""
RESTARTED_WITHIN_S = 5.0


class Fault(Struct, frozen=True, kw_only=True):
    """A fault of lax. Where none mends it, the region's unit does: it is over once the process runs again."""

    name: str
    strike: Callable[[World], None]
    lasts_s: float = 0.0
    mend: Callable[[World], None] | None = None
    of: tuple[type[World], ...] = (RayNodes, RegionAgents)
    within_s: float | None = None
    """Unless it is as long as BACK_WITHIN_S says."""

    def __str__(self) -> str:
        """Name it, with its length."""
        return f"{self.name}, {self.lasts_s:g} s" if self.lasts_s else self.name

    def back_within_s(self, world: type[World]) -> float:
        """Say when the region is to be in use again."""
        return self.within_s or BACK_WITHIN_S[world]


def _heal(world: World) -> None:
    world.bed.heal(LAX)


def _kill_executor(world: World) -> None:
    for pid in world.executors(LAX):
        os.kill(pid, signal.SIGKILL)


def _kill_raylet(world: World) -> None:
    assert world.bed[LAX].kill("raylet") == 1


def _lose_power(world: World) -> None:
    # Cut off first: a kernel that ends its processes would tell their peers.
    world.bed.cut(LAX)
    world.bed[LAX].lose_power()


def _boot(world: World) -> None:
    world.bed.heal(LAX)
    world.boot(LAX)


_CUTS: dict[str, Callable[[World], None]] = {
    "cut off": lambda world: world.bed.cut(LAX),
    "does not hear the service": lambda world: world.bed.cut("hub", LAX, one_way=True),
    "is not heard": lambda world: world.bed.cut(LAX, "hub", one_way=True),
}
FAULTS = (
    *(
        Fault(name=name, strike=strike, lasts_s=lasts_s, mend=_heal)
        for (name, strike), lasts_s in itertools.product(_CUTS.items(), (10.0, 100.0))
    ),
    Fault(name="its process is killed", strike=_kill_executor, within_s=RESTARTED_WITHIN_S),
    Fault(name="its raylet is killed", strike=_kill_raylet, of=(RayNodes,), within_s=RESTARTED_WITHIN_S),
    Fault(name="its machine loses power, and boots", strike=_lose_power, lasts_s=10.0, mend=_boot),
)
CASES = [(world, fault) for fault in FAULTS for world in fault.of]
