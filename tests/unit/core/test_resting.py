"""A shard that makes room for its next life, and a node that leaves: what runs ends, and nothing begins."""

import asyncio

from orchestrator.domain.cluster.placement import Placement, PlacementState
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.names import executor_address
from tests.support.rig import IAD, LAX, Reply, Rig, in_virtual_time

NODE = executor_address(IAD)


def placed(rig: Rig, state: PlacementState) -> None:
    rig.shard.peers.placed(NODE, Placement(state=state, since_ms=0))


@in_virtual_time()
async def test_a_shard_that_rests_ends_what_runs_and_starts_nothing_but_takes_jobs(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(after_s=2.0)
    under_way = await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    resting = asyncio.ensure_future(rig.shard.rest(10.0))
    await asyncio.sleep(0.5)
    late = await rig.submit(regions=(IAD,))
    assert rig.shard.accepting

    await resting

    assert (await rig.show(under_way)).state is JobState.SUCCESS
    assert (rig.seen(late), (await rig.show(late)).state) == ([], JobState.QUEUED)


@in_virtual_time()
async def test_what_was_taken_while_a_shard_rested_is_done_by_its_next_life_once(rig: Rig) -> None:
    await rig.shard.rest(10.0)
    late = await rig.submit(regions=(IAD,))
    await rig.restart(drain_s=0.5)
    assert (await rig.ended(late)).state is JobState.SUCCESS
    assert rig.seen(late) == [IAD]


@in_virtual_time()
async def test_a_shard_rests_no_longer_than_it_is_given(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(after_s=60.0)
    await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    began = rig.clock.now()
    await rig.shard.rest(5.0)
    assert 5.0 <= rig.clock.now() - began < 6.0
    assert rig.shard.busy(NODE) == 1


@in_virtual_time()
async def test_a_shard_says_how_many_attempts_it_did_not_wait_for(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(after_s=60.0)
    await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    assert await rig.shard.rest(5.0) == 1


@in_virtual_time()
async def test_an_end_that_is_slow_to_reach_the_disk_is_waited_for_and_nothing_is_sent_twice(
    rig: Rig,
) -> None:
    rig.store.jobs.ending_takes_s = 30.0
    job = await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    await rig.shard.rest(10.0)
    await rig.restart(drain_s=0.5)
    assert (await rig.ended(job)).state is JobState.SUCCESS
    assert rig.seen(job) == [IAD]


@in_virtual_time()
async def test_a_stop_waits_for_an_end_that_is_slow_to_reach_the_disk(rig: Rig) -> None:
    rig.store.jobs.ending_takes_s = 30.0
    job = await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    await rig.restart(drain_s=0.5)
    assert (await rig.ended(job)).state is JobState.SUCCESS
    assert rig.seen(job) == [IAD]


@in_virtual_time()
async def test_a_machine_that_gives_a_resting_shard_no_time_takes_none_of_its_patience(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(after_s=2.0)
    job = await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    resting = rig.rest(5.0)
    await asyncio.sleep(0.5)
    rig.stall(60.0)
    assert await resting == 0
    await rig.restart(drain_s=0.5)
    assert (await rig.ended(job)).state is JobState.SUCCESS
    assert rig.seen(job) == [IAD]


@in_virtual_time()
async def test_a_node_that_leaves_ends_what_it_has_and_is_given_nothing_more(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=3.0 if call.region == IAD else 0.0)
    under_way = await rig.submit(regions=(IAD,))
    await asyncio.sleep(1.0)
    placed(rig, PlacementState.LEAVING)
    assert rig.shard.busy(NODE) == 1

    later = [await rig.submit(regions=(IAD,)) for _ in range(5)]

    assert {(await rig.ended(job)).state for job in (under_way, *later)} == {JobState.SUCCESS}
    assert rig.seen(under_way) == [IAD]
    assert {region for job in later for region in rig.seen(job)} == {LAX}
    assert rig.shard.busy(NODE) == 0


@in_virtual_time()
async def test_a_node_that_runs_again_after_all_is_given_work(rig: Rig) -> None:
    placed(rig, PlacementState.LEAVING)
    placed(rig, PlacementState.RUNS)
    job = await rig.submit(regions=(IAD,))
    await rig.ended(job)
    assert rig.seen(job) == [IAD]
