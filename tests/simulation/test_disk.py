"""The disk of the simulation outlives whoever writes to it, at whatever moment that dies."""

import asyncio
from random import Random

import pytest

from orchestrator.adapters.memory.tables import FIRST_SHARD
from orchestrator.domain.cluster.slots import SLOTS
from orchestrator.domain.ids import ShardName
from tests.simulation.disk import IDLE_IN_TRANSACTION_S, Disk, DiskHandle
from tests.simulation.history import History
from tests.support.virtual_loop import Process, VirtualLoop

COMMITS_S = 0.05
BY_LOCK: dict[int, ShardName] = {}
BY_LEASE = dict.fromkeys(range(SLOTS), FIRST_SHARD)


class Place:
    """A disk, and one process after another that wants the shard on it."""

    def __init__(self, slots: dict[int, ShardName]) -> None:
        self.loop = VirtualLoop(Random(0))
        self._disk = Disk(self.loop, History(), slots=slots)

    def handle(self) -> DiskHandle:
        """Open the disk."""
        return DiskHandle(self._disk, self.loop, Random(0), (COMMITS_S, COMMITS_S))

    def take(self) -> tuple[Process, asyncio.Task[int]]:
        """Let a process begin to take the shard."""
        process = self.loop.process("a shard")
        return process, process.spawn(self.handle().begin_epoch())

    async def die_within(self, at_s: float) -> asyncio.Task[int]:
        """Let a process die while it takes the shard, and another one take it."""
        process, _ = self.take()
        await asyncio.sleep(at_s)
        process.kill()
        _, epoch = self.take()
        await asyncio.wait([epoch], timeout=2 * IDLE_IN_TRANSACTION_S)
        return epoch


@pytest.mark.parametrize("slots", [BY_LOCK, BY_LEASE], ids=["lock", "lease"])
def test_a_shard_that_dies_while_it_is_taken_can_be_taken_again(slots: dict[int, ShardName]) -> None:
    place = Place(slots)
    assert place.loop.run(place.die_within(COMMITS_S / 2)).result() == 1


def test_with_a_lock_on_the_store_nobody_waits_for_the_dead() -> None:
    place = Place(BY_LOCK)
    place.loop.run(place.die_within(COMMITS_S / 2))
    assert place.loop.time() < IDLE_IN_TRANSACTION_S


def test_a_process_that_stands_still_while_it_takes_a_shard_takes_it_later() -> None:
    place = Place(BY_LEASE)

    async def stand_still() -> list[int]:
        (slow, first), (_, second) = place.take(), place.take()
        await asyncio.sleep(COMMITS_S / 2)
        slow.stall(2 * IDLE_IN_TRANSACTION_S)
        return [await second, await first]

    assert place.loop.run(stand_still()) == [1, 2]


def test_whoever_waits_behind_a_take_over_that_dies_writes_after_it() -> None:
    place = Place(BY_LEASE)

    async def write() -> int:
        owner = place.handle()
        await owner.begin_epoch()
        process, _ = place.take()
        await asyncio.sleep(COMMITS_S / 2)
        await asyncio.gather(owner.beat(), _killed(process))
        return (await owner.last_beat()).number

    assert place.loop.run(write()) == 1


async def _killed(process: Process) -> None:
    process.kill()
