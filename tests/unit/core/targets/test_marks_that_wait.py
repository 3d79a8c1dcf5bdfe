"""Requests that wait for their marks take room of the nodes that they are for."""

import asyncio
from typing import Any

from orchestrator.core.regions.peer import BYTES_CREDIT
from orchestrator.core.targets.marker import COUNTED_TIMES
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee, RegionPolicy
from tests.support.rig import FAST, IAD, Rig, in_virtual_time

BODY = "x" * 60 * 1024
ONCE: dict[str, Any] = {
    "method": "POST",
    "body": BODY,
    "guarantee": Guarantee.AT_MOST_ONCE,
    "region_policy": RegionPolicy.STRICT,
}
MARKED_MOST = BYTES_CREDIT // COUNTED_TIMES // len(BODY) + 1


@in_virtual_time(FAST)
async def test_few_requests_wait_for_their_marks_and_the_rest_on_disk(rig: Rig) -> None:
    rig.store.jobs.marking_takes_s = 60.0
    jobs = [await rig.submit(**ONCE) for _ in range(MARKED_MOST + 50)]
    await asyncio.sleep(10)
    assert rig.shard.peers.peer(IAD).attempts_open <= MARKED_MOST
    assert len(rig.shard.targets.routes.parking) >= 50
    rig.store.jobs.marking_takes_s = 0.0
    for job_id in jobs:
        assert (await rig.ended(job_id, 600.0)).state is JobState.SUCCESS
    assert rig.shard.peers.peer(IAD).bytes_open == 0


@in_virtual_time(FAST)
async def test_what_waits_for_room_goes_on_when_those_that_waited_for_their_marks_are_cancelled(
    rig: Rig,
) -> None:
    rig.store.jobs.marking_takes_s = 5.0
    marked = [await rig.submit(**ONCE) for _ in range(MARKED_MOST)]
    await asyncio.sleep(1)
    after = await rig.submit(region_policy=RegionPolicy.STRICT)
    await asyncio.sleep(1)
    assert rig.shard.peers.regions_with_credit([IAD]).count(IAD) == 0
    for job_id in marked:
        await rig.shard.jobs.cancel(job_id)
    assert (await rig.ended(after, 10.0)).state is JobState.SUCCESS
