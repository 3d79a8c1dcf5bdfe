"""Jobs that wait for a retry, or for their turn again: in memory as long as there is room, else on disk."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from orchestrator.core.jobs import held_jobs, job_cache
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.ids import AttemptId, JobId, target_domain
from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import StoredJob, StoreFailure
from orchestrator.ports.targets import AttemptEnded, Placed
from tests.support.rig import FAST, IAD, Reply, Rig, in_virtual_time

BODY = "x" * (LARGE_BYTES - 1_000)
"""One that stays with its job."""
REFUSED = Reply(status=503, headers={"retry-after": "60"})
Story = Callable[[Rig], Coroutine[Any, Any, None]]


def without_room(story: Story) -> Story:
    async def told(rig: Rig) -> None:
        with patch.object(held_jobs, "HELD_BYTES", 0):
            await story(rig)

    told.__name__ = story.__name__
    return told


def refuses_once(rig: Rig, refused: Reply = REFUSED) -> None:
    rig.answer = lambda call: Reply() if rig.seen(call.job_id) else refused


async def some_that_wait(rig: Rig, count: int, **fields: Any) -> list[JobId]:
    """Let jobs be refused, and wait for a minute."""
    refuses_once(rig)
    jobs = [await rig.submit(url=f"https://{n}.example.com/", body=BODY, **fields) for n in range(count)]
    await asyncio.sleep(5.0)
    assert [len(rig.seen(job_id)) for job_id in jobs] == [1] * count
    return jobs


@in_virtual_time(FAST)
async def test_jobs_that_wait_for_a_retry_hold_no_more_than_there_is_room_for(rig: Rig) -> None:
    jobs = await some_that_wait(rig, 300)
    assert 100 < len(rig.shard.jobs.table) < 200
    assert rig.shard.jobs.table.held_bytes <= held_jobs.HELD_BYTES
    assert {(await rig.ended(job_id)).state for job_id in jobs} == {JobState.SUCCESS}
    assert {call.body for call in rig.calls} == {BODY.encode()}
    assert rig.shard.jobs.table.held_bytes == 0


@in_virtual_time(FAST)
@without_room
async def test_who_slept_waits_as_long_and_goes_on_as_if_it_had_not(rig: Rig) -> None:
    [job_id] = await some_that_wait(rig, 1)
    assert len(rig.shard.jobs.table) == 0
    await asyncio.sleep(50.0)
    assert len(rig.seen(job_id)) == 1
    stored = await rig.ended(job_id)
    assert stored.state is JobState.SUCCESS
    assert stored.course is not None
    assert [(attempt.number, attempt.status) for attempt in stored.course.attempts] == [(1, 503), (2, 200)]


@in_virtual_time(FAST)
@without_room
async def test_who_sleeps_can_be_cancelled_and_leaves_nothing(rig: Rig) -> None:
    [job_id] = await some_that_wait(rig, 1)
    assert await rig.shard.jobs.cancel(job_id)
    stored = await rig.show(job_id)
    assert stored.state is JobState.CANCELLED
    assert b'"status_code":503' in (stored.result or b"")
    reads = rig.store.jobs.loads
    await asyncio.sleep(100.0)
    assert (len(rig.seen(job_id)), rig.store.jobs.loads) == (1, reads)
    (domain,) = rig.shard.targets.domains.values()
    assert (domain.waiting, len(rig.shard.jobs.table), rig.shard.jobs.kept_answers.used) == (0, 0, 0)


@in_virtual_time(FAST)
@without_room
async def test_who_sleeps_goes_on_after_a_restart(rig: Rig) -> None:
    [job_id] = await some_that_wait(rig, 1)
    await rig.restart()
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert len(rig.seen(job_id)) == 2


@in_virtual_time(FAST)
@without_room
async def test_who_sleeps_while_it_waits_for_its_fallbacks_turn_goes_there(rig: Rig) -> None:
    there = JobSpec(url="https://there.example.com/", regions=(IAD,), metadata={})
    rig.answer = lambda call: Reply(status=200 if "there" in call.url else 500)
    never = RetryPolicy(max_retries=0, max_reroutes=0)
    rig.shard.targets.limiter(target_domain(there.url)).pause(rig.loop.time() + 30.0)
    job_id = await rig.submit(fallback=Fallback(Trigger(), there), retry_policy=never)
    await asyncio.sleep(5.0)
    assert (len(rig.shard.jobs.table), len(rig.seen(job_id))) == (0, 1)
    place = rig.shard.jobs.place((await rig.show(job_id)).job)
    assert place is not None
    assert place.position == 1
    assert (await rig.ended(job_id)).state is JobState.SUCCESS


@in_virtual_time(FAST)
@without_room
async def test_a_job_that_sleeps_goes_to_its_fallback_when_it_is_late(rig: Rig) -> None:
    late = Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=20_000)
    there = JobSpec(url="https://there.example.com/", regions=(IAD,), metadata={})
    [job_id] = await some_that_wait(rig, 1, fallback=Fallback(late, there))
    assert len(rig.shard.jobs.table) == 0
    await asyncio.sleep(14.0)
    assert len(rig.calls) == 1
    await asyncio.sleep(2.0)
    assert rig.calls[-1].url == there.url
    stored = await rig.ended(job_id)
    assert stored.state is JobState.SUCCESS
    assert stored.course is not None
    assert [attempt.status for attempt in stored.course.attempts] == [503, 200]


@in_virtual_time(FAST)
@without_room
async def test_a_job_that_ends_before_it_is_late_leaves_no_timer_though_it_slept(rig: Rig) -> None:
    late = Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=80_000)
    there = JobSpec(url="https://there.example.com/", regions=(IAD,), metadata={})
    [job_id] = await some_that_wait(rig, 1, fallback=Fallback(late, there))
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    reads = rig.store.jobs.loads
    await asyncio.sleep(60.0)
    assert (len(rig.calls), rig.store.jobs.loads) == (2, reads)


@in_virtual_time(FAST)
@without_room
async def test_what_a_full_disk_does_not_take_stays_in_memory(rig: Rig) -> None:
    async def full(*_: object) -> None:
        raise StoreFailure

    with patch.object(rig.store.jobs, "save_course", full):
        [job_id] = await some_that_wait(rig, 1)
    assert len(rig.shard.jobs.table) == 1
    assert (await rig.ended(job_id)).state is JobState.SUCCESS


@in_virtual_time(FAST)
@without_room
async def test_an_attempt_that_is_lost_while_who_slept_is_told_of_it_is_made_again(rig: Rig) -> None:
    rig.store.jobs.load_takes_s = 1.0
    [job_id] = await some_that_wait(rig, 1)
    table, attempt = rig.shard.jobs.table, AttemptId("elsewhere.1.1")
    # As another shard says it, whose session ends at once.
    table.placed(Placed(job_id, 0, 0, attempt, IAD))
    lost = Ended(None, Fault.LOST, "the target's shard was lost before the request was sent", written=False)
    table.ended(AttemptEnded(job_id, 0, attempt, lost, (IAD,)))
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert (table.closing, table.held_bytes) == (0, 0)


@in_virtual_time(FAST)
@without_room
async def test_a_job_whose_turn_comes_as_it_is_about_to_sleep_stays_up_for_it(rig: Rig) -> None:
    written = asyncio.Event()
    save_course = rig.store.jobs.save_course

    async def slow(*course: Any) -> None:
        await written.wait()
        await save_course(*course)

    refuses_once(rig, Reply(status=503, headers={"retry-after": "2"}))
    limiter = rig.shard.targets.limiter(target_domain("https://api.example.com/"))
    with patch.object(rig.store.jobs, "save_course", slow), patch.object(job_cache, "FRESH_BYTES", 0):
        job_id = await rig.submit(body="x" * 2 * LARGE_BYTES)
        await asyncio.sleep(1.0)
        limiter.hold()
        await asyncio.sleep(4.0)
        written.set()
        limiter.release()
        supervisor = rig.shard.jobs.table.find(job_id)
        assert supervisor is not None
        await asyncio.sleep(0.001)
        assert rig.shard.jobs.table.find(job_id) is supervisor
        assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert (len(rig.seen(job_id)), rig.shard.jobs.table.held_bytes) == (2, 0)


@in_virtual_time(FAST)
@without_room
async def test_who_sleeps_and_can_not_be_read_lines_up_no_more(rig: Rig) -> None:
    [job_id] = await some_that_wait(rig, 1)
    rig.store.jobs.ending_takes_s = 100.0
    whole = await rig.show(job_id)

    async def damaged(_: JobId) -> StoredJob:
        return replace(whole, damage="bits rotted")

    with patch.object(rig.store.jobs, "load", damaged):
        assert not await rig.shard.jobs.cancel(job_id)
    assert (await rig.ended(job_id)).state is JobState.FAILED
    assert (len(rig.seen(job_id)), len(rig.shard.targets.steps)) == (1, 0)
    assert rig.shard.jobs.kept_answers.used == 0
