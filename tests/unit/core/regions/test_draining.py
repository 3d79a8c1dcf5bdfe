"""A region that an operator takes out of service: what goes there, what ends there, what waits for it."""

import asyncio

import pytest

from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.domain.access.audit import Act, AuditFilter
from orchestrator.domain.access.roles import Caller, Role
from orchestrator.domain.errors import NotFound
from orchestrator.domain.health.routing import STRICT_DOWN_S, RegionHealth
from orchestrator.domain.ids import CustomerId, JobId, RegionName
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode, RegionPolicy
from orchestrator.domain.pace.pacing import Pace
from tests.support.rig import IAD, LAX, ORD, Reply, Rig, in_virtual_time

OPS = Caller(CustomerId("cust_ops"), Role.ADMIN, "key_of_ops")
ALL = (IAD, LAX, ORD)
SLOW = Pace(2.0, 1)


async def drain(rig: Rig, *regions: RegionName) -> None:
    for region in regions:
        await rig.shard.drains.drain(OPS, region)


@in_virtual_time()
async def test_nothing_new_is_placed_in_a_region_that_drains(rig: Rig) -> None:
    await drain(rig, IAD)
    jobs = [await rig.submit(regions=(IAD,)) for _ in range(20)]
    assert {(await rig.ended(job)).state for job in jobs} == {JobState.SUCCESS}
    assert IAD not in {call.region for call in rig.calls}


@in_virtual_time()
async def test_what_runs_there_ends_there(rig: Rig) -> None:
    rig.answer = lambda _call: Reply(after_s=20.0)
    job_id = await rig.submit(regions=(IAD,))
    await asyncio.sleep(5.0)
    await drain(rig, IAD)
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert rig.seen(job_id) == [IAD]


@in_virtual_time(SLOW)
async def test_what_waits_there_on_its_connection_goes_when_its_permit_comes(rig: Rig) -> None:
    rig.connects_in_s[IAD] = 3.0
    job_id = await rig.submit(regions=(IAD,), region_policy=RegionPolicy.STRICT)
    await asyncio.sleep(1.0)
    await drain(rig, IAD)
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert rig.seen(job_id) == [IAD]


@in_virtual_time()
async def test_a_race_runs_without_the_region_that_drains(rig: Rig) -> None:
    await drain(rig, LAX)
    stored = await rig.run(regions=ALL, execution_mode=ExecutionMode.RACE)
    assert stored.state is JobState.SUCCESS
    assert LAX not in rig.seen(stored.job.id)


@in_virtual_time()
async def test_a_reroute_enters_no_region_that_drains(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=500 if call.region == IAD else 200)
    await drain(rig, LAX)
    stored = await rig.run(regions=(IAD,))
    assert rig.seen(stored.job.id) == [IAD, ORD]


@in_virtual_time()
async def test_a_strict_job_waits_longer_than_for_a_region_that_is_down_and_goes_when_it_is_let_back(
    rig: Rig,
) -> None:
    await drain(rig, IAD)
    job_id = await rig.submit(regions=(IAD,), region_policy=RegionPolicy.STRICT)
    await asyncio.sleep(3 * STRICT_DOWN_S)
    assert (rig.seen(job_id), (await rig.show(job_id)).state) == ([], JobState.QUEUED)
    await rig.shard.drains.undrain(OPS, IAD)
    assert (await rig.ended(job_id, within_s=1.0)).state is JobState.SUCCESS
    assert rig.seen(job_id) == [IAD]


@in_virtual_time()
async def test_with_every_region_draining_jobs_wait_and_the_service_says_that_it_can_do_nothing(
    rig: Rig,
) -> None:
    await drain(rig, *ALL)
    assert (rig.shard.ready, LocalShard(rig.shard).regions_up()) == (False, [])
    jobs: list[JobId] = [await rig.submit(regions=ALL) for _ in range(3)]
    await asyncio.sleep(60.0)
    assert rig.calls == []
    await rig.shard.drains.undrain(OPS, ORD)
    assert {(await rig.ended(job)).state for job in jobs} == {JobState.SUCCESS}
    assert {call.region for call in rig.calls} == {ORD}


@in_virtual_time()
async def test_a_region_drains_over_a_restart(rig: Rig) -> None:
    await drain(rig, IAD)
    await rig.restart()
    job_id = await rig.submit(regions=(IAD,))
    await rig.ended(job_id)
    assert IAD not in rig.seen(job_id)
    await rig.shard.drains.undrain(OPS, IAD)
    await rig.restart()
    assert rig.seen((await rig.run(regions=(IAD,))).job.id) == [IAD]


@in_virtual_time()
async def test_how_it_stands_is_shown_with_the_reason_and_since_when(rig: Rig) -> None:
    await drain(rig, IAD)
    first = next(view for view in LocalShard(rig.shard).regions() if view.name == IAD)
    assert (first.health, first.takes_jobs, "drains" in first.reason) == (RegionHealth.UP, False, True)
    await asyncio.sleep(10.0)
    await drain(rig, IAD)
    again = next(view for view in LocalShard(rig.shard).regions() if view.name == IAD)
    assert again.drain == first.drain
    numbers = {region.name: region.takes_work for region in (await LocalShard(rig.shard).numbers()).regions}
    assert numbers == {IAD: False, LAX: True, ORD: True}


@in_virtual_time()
async def test_each_act_is_in_the_audit(rig: Rig) -> None:
    await drain(rig, IAD)
    await rig.shard.drains.undrain(OPS, IAD)
    lines = await rig.store.audit.lines(AuditFilter(), 10)
    assert [(line.entry.act, line.entry.subject) for line in lines] == [
        (Act.REGION_UNDRAINED, IAD),
        (Act.REGION_DRAINED, IAD),
    ]


@in_virtual_time()
async def test_a_region_that_there_is_not_can_not_be_drained(rig: Rig) -> None:
    with pytest.raises(NotFound):
        await drain(rig, RegionName("atlantis"))
    assert await rig.store.jobs.drains() == {}
