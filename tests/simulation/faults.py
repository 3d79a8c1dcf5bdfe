"""What goes wrong in a simulated history: crashes, stalls, partitions, slow disks, take-overs."""

from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from orchestrator.domain.ids import RegionName


class Actor(StrEnum):
    """What can crash or stall besides the executors, which are named by region."""

    SHARD = "shard"
    OTHER_SHARD = "other shard"
    """Where there are two."""
    WEBHOOKS = "webhooks"


BETWEEN_SHARDS = RegionName("@shards")
"""In a region's place: what is cut is the way between the shards, of which the other is "the shard"."""


class Direction(StrEnum):
    """Which way a partition cuts."""

    BOTH = "both"
    TO_SHARD = "to the shard"
    FROM_SHARD = "from the shard"
    BATCHES = "batches from the shard"
    """Heartbeats and their replies come through."""

    def stops(self, *, to_shard: bool, answer: bool) -> bool:
        """Whether what travels this way does not come through."""
        match self:
            case Direction.BOTH:
                return True
            case Direction.TO_SHARD:
                return to_shard
            case Direction.FROM_SHARD:
                return not to_shard
            case Direction.BATCHES:
                return not (to_shard or answer)
            case _:
                assert_never(self)


class Crash(Struct, frozen=True):
    """An actor is killed, and comes back after ``down_s``."""

    actor: str
    at_s: float
    down_s: float


class Stall(Struct, frozen=True):
    """An actor's event loop is busy for ``for_s``."""

    actor: str
    at_s: float
    for_s: float


class Partition(Struct, frozen=True):
    """A region can't be reached, or can't reach the shard: any, or one of them."""

    region: RegionName
    at_s: float
    until_s: float
    direction: Direction = Direction.BOTH
    shard: Actor | None = None


class Restart(Struct, frozen=True):
    """A shard is stopped as an operator stops it, draining for at most ``drain_s``, and started again."""

    at_s: float
    drain_s: float
    shard: Actor = Actor.SHARD


class SlowDisk(Struct, frozen=True):
    """No commit comes through for ``for_s``."""

    at_s: float
    for_s: float


class CutFromStore(Struct, frozen=True):
    """A shard can't reach its store for ``for_s``, and everybody else."""

    shard: Actor
    at_s: float
    for_s: float


class StandBy(Struct, frozen=True):
    """Another process wants a shard from then on, and takes it over once whoever has it beats no more."""

    shard: Actor
    at_s: float


Fault = Crash | Stall | Partition | Restart | SlowDisk | CutFromStore | StandBy
