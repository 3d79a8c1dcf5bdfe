"""A job's end is written once and whole, whatever happens to the job in the same moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.domain.errors import NotReady
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee
from tests.support.rig import Reply, Rig, in_virtual_time

JOBS = 20
"""What is ready at the same moment comes in any order: so many tries see each."""


@asynccontextmanager
async def going_on(rig: Rig) -> AsyncIterator[None]:
    """The shard fails in nothing meanwhile."""
    failed = asyncio.ensure_future(rig.shard.failed())
    yield
    if failed.done():
        await failed
    failed.cancel()


async def assert_cancelled(rig: Rig, job_id: JobId) -> None:
    """Nothing was sent, and the end is whole."""
    await asyncio.sleep(1.0)
    stored = await rig.show(job_id)
    assert (stored.state, rig.seen(job_id)) == (JobState.CANCELLED, [])
    assert b'"cancelled"' in (stored.result or b"")
    assert rig.shard.targets.limiter(stored.job.domain).in_flight == 0
    assert rig.shard.jobs.ledger.total_open == 0


@in_virtual_time()
async def test_a_job_that_is_cancelled_before_its_mark_is_written_ends_once(rig: Rig) -> None:
    jobs = []
    async with going_on(rig):
        for _ in range(JOBS):
            await asyncio.sleep(1.0)
            jobs.append(await rig.submit(guarantee=Guarantee.AT_MOST_ONCE))
            assert rig.shard.jobs.under_way(jobs[-1]) is not None, (
                "it has its permit, and its mark is not on disk"
            )
            assert await rig.shard.jobs.cancel(jobs[-1])
    for job_id in jobs:
        await assert_cancelled(rig, job_id)


@in_virtual_time()
async def test_a_job_that_is_cancelled_before_it_was_admitted_ends_once(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=5.0)
    await asyncio.sleep(1.0)
    job = await rig.store_job()
    rig.store.jobs.load_takes_s = 0.5
    cancelling = asyncio.ensure_future(rig.shard.jobs.cancel(job.id))
    await asyncio.sleep(0.1)
    async with going_on(rig):
        rig.admit(job)
        assert await cancelling
        assert not await rig.shard.jobs.cancel(job.id), "it has ended"
        await asyncio.sleep(10.0)
    await assert_cancelled(rig, job.id)


@in_virtual_time()
async def test_a_cancellation_that_the_disk_does_not_take_is_not_told_as_one(rig: Rig) -> None:
    await asyncio.sleep(1.0)
    rig.store.jobs.ending_takes_s = 12.0
    job_id = await rig.submit()
    for _ in range(2):
        with pytest.raises(NotReady, match="could not be stored yet"):
            await rig.shard.jobs.cancel(job_id)
    assert not (await rig.show(job_id)).state.ended
    assert await rig.shard.jobs.cancel(job_id), "by now it is on disk"
    await assert_cancelled(rig, job_id)


@in_virtual_time()
async def test_a_job_is_not_told_as_ended_while_its_end_is_not_on_disk(rig: Rig) -> None:
    await asyncio.sleep(1.0)
    rig.store.jobs.ending_takes_s = 8.0
    job_id = await rig.submit()
    await asyncio.sleep(1.0)
    with pytest.raises(NotReady, match="success"):
        await rig.shard.jobs.cancel(job_id)
    assert not await rig.shard.jobs.cancel(job_id)
    assert (await rig.show(job_id)).state is JobState.SUCCESS
