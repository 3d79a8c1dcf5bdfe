"""What the gateway counts for the metrics."""

import asyncio

from orchestrator.core.gateway import numbers
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.jobs.lifecycle import JobState
from tests.support.rig import IAD, Rig, in_virtual_time


@in_virtual_time()
async def test_numbers_stay_as_they_were_counted(rig: Rig) -> None:
    await rig.run()
    before = await LocalShard(rig.shard).numbers()
    await rig.run()
    after = await LocalShard(rig.shard).numbers()
    for counted, jobs in ((before, 1), (after, 2)):
        assert counted.counters.accepted == jobs
        assert counted.counters.ended == {JobState.SUCCESS: jobs}
        assert counted.counters.attempt_seconds[IAD].count == jobs


@in_virtual_time()
async def test_others_have_their_turn_while_many_targets_are_counted(rig: Rig) -> None:
    turns, over = 0, asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    for number in range(4 * numbers.COUNTED_AT_ONCE):
        rig.shard.targets.limiter(TargetDomain(f"{number}.example:443"))
    beside = asyncio.ensure_future(other())
    found = await LocalShard(rig.shard).numbers()
    over.set()
    await beside
    assert (found.domains, found.legs_waiting, len(found.busiest)) == (4 * numbers.COUNTED_AT_ONCE, 0, 20)
    assert turns >= 4
