"""Who has a shard: two lives of it over one store, under virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.tables import FIRST_SHARD, Tables
from orchestrator.core.tasks import Tasks
from orchestrator.core.tenure import Tenure
from orchestrator.domain.cluster.lease import BEAT_EVERY_S, LEASE_S, WATCH_S
from orchestrator.ports.store import Fenced, StoreFailure
from tests.support.virtual_loop import Process, VirtualClock, VirtualLoop

Story = Callable[["Stage"], Awaitable[None]]


class CutJobs(MemoryJobs):
    """A store that may be out of reach: what is asked of it then fails after a moment, or hangs."""

    cut = False
    hangs_s = 0.0

    async def beat(self) -> None:
        await asyncio.sleep(self.hangs_s)
        if self.cut:
            raise StoreFailure
        await super().beat()


class Life:
    """A process that wants the shard, and keeps it once it has it."""

    def __init__(self, stage: "Stage", name: str, *, skew_s: float) -> None:
        self.store = CutJobs(stage.tables, FIRST_SHARD, held_by_lock=False)
        self.process: Process = stage.loop.process(name)
        self.clock = VirtualClock(stage.loop, epoch_ms=0, skew_s=skew_s)
        self.epoch = 0
        self.began_at = 0.0
        self.tenure: Tenure
        self.tasks: Tasks
        self._loop = stage.loop
        self.process.spawn(self._live())

    async def _live(self) -> None:
        self.tasks = Tasks()
        self.tenure = Tenure(self.store, self.clock, self.tasks.spawn)
        self.epoch = await self.tenure.begin()
        self.began_at = self._loop.time()

    @property
    def left_s(self) -> float:
        return self.tenure.left_s


class Stage:
    """One store."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(Random(1))
        self.tables = Tables()

    async def begin(self, name: str, *, skew_s: float = 0.0) -> Life:
        life = Life(self, name, skew_s=skew_s)
        await asyncio.sleep(0.001)
        return life


def in_virtual_time(story: Story) -> Callable[[], None]:
    def test() -> None:
        stage = Stage()

        async def play() -> None:
            await story(stage)

        stage.loop.run(play())

    test.__name__ = getattr(story, "__name__", "test")
    return test


@in_virtual_time
async def test_a_shard_that_nobody_had_is_taken_at_once(stage: Stage) -> None:
    first = await stage.begin("first")
    assert (first.epoch, first.left_s) == (1, pytest.approx(LEASE_S, abs=0.01))


@in_virtual_time
async def test_whoever_beats_keeps_the_shard(stage: Stage) -> None:
    first, second = await stage.begin("first"), await stage.begin("second", skew_s=1e6)
    for _ in range(100):
        await asyncio.sleep(1.0)
        assert first.left_s >= LEASE_S - BEAT_EVERY_S - 0.01
    assert (first.epoch, second.epoch) == (1, 0)


@in_virtual_time
async def test_a_dead_one_s_shard_is_taken_once_its_beat_has_stood_still(stage: Stage) -> None:
    first, second = await stage.begin("first"), await stage.begin("second", skew_s=-1e6)
    await asyncio.sleep(10.0)
    first.process.kill()
    died_at = stage.loop.time()
    await asyncio.sleep(20.0)
    assert second.epoch == 2
    assert WATCH_S - BEAT_EVERY_S <= second.began_at - died_at <= WATCH_S + 2 * BEAT_EVERY_S


@in_virtual_time
async def test_one_that_was_stopped_and_goes_on_may_not_act_and_ends_at_its_next_beat(stage: Stage) -> None:
    first, second = await stage.begin("first"), await stage.begin("second")
    await asyncio.sleep(10.0)
    left = []
    first.process.stall(30.0)
    first.process.call_soon(lambda: left.append(first.left_s))
    await asyncio.sleep(40.0)
    assert (second.epoch, left) == (2, [0.0])
    with pytest.raises(Fenced):
        await first.tasks.failed()
    assert second.left_s > 0


@in_virtual_time
async def test_one_that_was_stopped_for_less_goes_on(stage: Stage) -> None:
    first, second = await stage.begin("first"), await stage.begin("second")
    await asyncio.sleep(10.0)
    first.process.stall(3.0)
    await asyncio.sleep(30.0)
    assert (first.epoch, second.epoch) == (1, 0)
    assert first.left_s > 0


@in_virtual_time
async def test_one_that_is_cut_off_rests_and_goes_on_where_nobody_took_over(
    stage: Stage,
) -> None:
    first = await stage.begin("first")
    await asyncio.sleep(10.0)
    first.store.cut = True
    await asyncio.sleep(LEASE_S + BEAT_EVERY_S)
    assert first.left_s == 0.0
    first.store.cut = False
    await asyncio.sleep(2 * BEAT_EVERY_S)
    assert first.left_s > 0
    assert first.epoch == 1


@in_virtual_time
async def test_a_beat_that_takes_long_counts_from_its_sending(stage: Stage) -> None:
    first = await stage.begin("first")
    first.store.hangs_s = 3.0
    await asyncio.sleep(BEAT_EVERY_S + 3.0 + 0.01)
    assert first.left_s == pytest.approx(LEASE_S - 3.0, abs=0.1)


@in_virtual_time
async def test_one_that_was_cut_off_is_ended_where_another_took_over(stage: Stage) -> None:
    first, second = await stage.begin("first"), await stage.begin("second")
    await asyncio.sleep(10.0)
    first.store.cut = True
    await asyncio.sleep(20.0)
    assert (second.epoch, first.left_s) == (2, 0.0)
    first.store.cut = False
    with pytest.raises(Fenced):
        await first.tasks.failed()


@in_virtual_time
async def test_of_two_that_want_a_dead_one_s_shard_one_gets_it(stage: Stage) -> None:
    first = await stage.begin("first")
    others = [await stage.begin(name) for name in ("second", "third")]
    first.process.kill()
    await asyncio.sleep(60.0)
    assert sorted(other.epoch for other in others) == [0, 2]


@in_virtual_time
async def test_an_orderly_end_stops_the_beat(stage: Stage) -> None:
    first = await stage.begin("first")
    await asyncio.sleep(2.5)
    first.tenure.close()
    before = await first.store.last_beat()
    await asyncio.sleep(10.0)
    assert await first.store.last_beat() == before
    assert first.left_s == 0.0
