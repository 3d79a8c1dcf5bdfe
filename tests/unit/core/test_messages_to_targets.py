"""Jobs and targets say all that they say in messages: packed on their way, they do what they do otherwise."""

import asyncio

from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.pace.pacing import Pace
from orchestrator.ports.targets import SendAttempt
from tests.support.packed import talk_packed
from tests.support.rig import IAD, LAX, ORD, URL, Reply, Rig, in_virtual_time

ALL = (IAD, LAX, ORD)
LATE_REQUEST = HttpRequest(method="GET", url=URL, headers=(), body=None, timeout_ms=1_000)
THERE = JobSpec(url="https://fallback.example.com/", regions=(IAD,), metadata={})


@in_virtual_time()
async def test_a_race_is_won_and_its_losers_are_cancelled(rig: Rig) -> None:
    carried = talk_packed(rig.shard)
    rig.answer = lambda call: Reply(after_s=0.1 if call.region == LAX else 20.0)
    ended = await rig.run(regions=ALL)
    assert ended.state is JobState.SUCCESS
    assert ended.course is not None
    assert [attempt.status for attempt in ended.course.attempts if attempt.region == LAX] == [200]
    await asyncio.sleep(1)
    assert (
        rig.shard.jobs.table.closing,
        len(rig.shard.targets.steps),
        len(rig.shard.targets.dispatcher),
    ) == (
        0,
        0,
        0,
    )
    told = (await rig.show(ended.job.id)).course
    assert told is not None
    assert all(attempt.closed_ms for attempt in told.attempts if attempt.region != LAX)
    # Of a start an executor may tell twice.
    assert carried.pop("Started") >= 3
    assert carried == dict.fromkeys(["Turn", "RunStep", "Placed", "SendAttempt", "AttemptEnded"], 3) | {
        "Withdraw": 1
    }


@in_virtual_time()
async def test_a_hedge_tries_elsewhere_when_it_is_late(rig: Rig) -> None:
    carried = talk_packed(rig.shard)
    rig.answer = lambda call: Reply(after_s=20.0 if call.region == IAD else 0.1)
    job_id = await rig.submit(regions=ALL, execution_mode=ExecutionMode.HEDGE)
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert rig.seen(job_id)[:2] == [IAD, LAX]
    assert carried["Late"] == carried["Claim"] == 1


@in_virtual_time()
async def test_a_fallback_begins_where_every_way_is_shut(rig: Rig) -> None:
    carried = talk_packed(rig.shard)
    rig.answer = lambda call: Reply(status=503 if "api" in call.url else 200)
    for _ in range(30):
        await rig.submit()
    await asyncio.sleep(30)
    refused = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({503}))
    ended = await rig.run(fallback=Fallback(refused, THERE))
    assert ended.state is JobState.SUCCESS
    assert carried["Shut"] >= 1


@in_virtual_time(down=(LAX,))
async def test_a_leg_that_may_run_nowhere_else_is_given_up(rig: Rig) -> None:
    carried = talk_packed(rig.shard)
    ended = await rig.run(regions=(LAX,), region_policy=RegionPolicy.STRICT)
    assert (ended.state, carried["RegionsGone"]) == (JobState.FAILED, 1)


@in_virtual_time(Pace(1.0, 1))
async def test_an_attempt_that_is_cancelled_before_its_mark_is_on_disk_is_never_sent(rig: Rig) -> None:
    talk_packed(rig.shard)
    rig.store.jobs.marking_takes_s = 5.0
    job_id = await rig.submit(method="POST", guarantee=Guarantee.AT_MOST_ONCE)
    await asyncio.sleep(1)
    (domain,) = rig.shard.targets.domains.values()
    assert domain.in_flight == 1
    assert await rig.shard.jobs.cancel(job_id)
    assert domain.in_flight == 0
    course = (await rig.show(job_id)).course
    assert course is not None
    # As a message would, that its withdrawal has overtaken.
    late = SendAttempt(job_id, 0, course.attempts[0].id, LATE_REQUEST)
    rig.shard.targets.steps.send(late)
    await asyncio.sleep(10)
    assert rig.seen(job_id) == []
    assert (rig.shard.jobs.table.closing, len(rig.shard.targets.steps)) == (0, 0)


@in_virtual_time(Pace(1.0, 1))
async def test_a_step_that_waits_is_withdrawn_by_name(rig: Rig) -> None:
    carried = talk_packed(rig.shard)
    rig.answer = lambda call: Reply(after_s=5.0)
    await rig.submit()
    waiting = await rig.submit()
    await asyncio.sleep(1)
    await rig.shard.jobs.cancel(waiting)
    (domain,) = rig.shard.targets.domains.values()
    assert (domain.waiting, carried["Withdraw"]) == (0, 1)
