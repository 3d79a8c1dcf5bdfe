"""A shard whose lease is over, in the real core: it lets nothing out, and keeps no node at work."""

import asyncio

from orchestrator.domain.cluster.lease import LEASE_S
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.names import executor_address
from orchestrator.messages.types import Heartbeat
from tests.support.rig import IAD, Reply, Rig, in_virtual_time

BEAT = Heartbeat("one", 1)


async def lease_it(rig: Rig) -> None:
    """Start again over a store that others can have, too."""
    rig.store.jobs.held_by_lock = False
    await rig.restart()
    assert rig.shard.epoch == 2


@in_virtual_time()
async def test_where_nobody_else_can_have_the_store_nothing_ends(rig: Rig) -> None:
    assert rig.shard.heartbeat(executor_address(IAD), BEAT, "boot").lease_s is None


@in_virtual_time()
async def test_a_reply_says_for_how_long_the_shard_may_act(rig: Rig) -> None:
    await lease_it(rig)
    await asyncio.sleep(10.0)
    reply = rig.shard.heartbeat(executor_address(IAD), BEAT, "boot")
    assert reply.lease_s is not None
    assert LEASE_S - 1.1 <= reply.lease_s <= LEASE_S


@in_virtual_time()
async def test_nothing_is_let_out_without_a_lease_and_all_goes_on_once_it_is_back(rig: Rig) -> None:
    await lease_it(rig)
    await asyncio.sleep(10.0)
    rig.store.jobs.beats_fail = True
    await asyncio.sleep(LEASE_S + 1.0)
    job_id = await rig.submit()
    await asyncio.sleep(10.0)
    assert rig.seen(job_id) == []
    reply = rig.shard.heartbeat(executor_address(IAD), BEAT, "boot")
    assert (reply.lease_s, reply.epoch) == (0.0, 0)
    rig.store.jobs.beats_fail = False
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert rig.shard.epoch == 2


@in_virtual_time()
async def test_what_is_under_way_when_the_lease_ends_is_told_of_all_the_same(rig: Rig) -> None:
    await lease_it(rig)
    await asyncio.sleep(10.0)
    rig.answer = lambda call: Reply(after_s=8.0)
    job_id = await rig.submit()
    await asyncio.sleep(1.0)
    rig.store.jobs.beats_fail = True
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
