"""Where a job runs when regions are down: fallback and strict, race, fan-out and hedge."""

import asyncio
import json

from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.run import LegState, Run
from orchestrator.domain.health.routing import DOWN_AFTER_S, STRICT_DOWN_S
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee, RegionPolicy
from orchestrator.domain.mail_room import MAIL_BYTES
from orchestrator.domain.pace.pacing import Pace
from orchestrator.messages.names import executor_address
from orchestrator.ports.store import StoredJob
from tests.support.rig import IAD, LAX, ORD, URL, Reply, Rig, in_virtual_time

STRICT = RegionPolicy.STRICT
ALL = (IAD, LAX, ORD)
GONE_S = DOWN_AFTER_S + 1.0


def run_of(stored: StoredJob) -> Run:
    assert stored.course is not None
    run = stored.course.runs[0]
    assert run is not None
    return run


def states(stored: StoredJob) -> list[LegState]:
    return [leg.state for leg in run_of(stored).legs]


async def lose(rig: Rig, *regions: str) -> None:
    """Let regions fall silent, until they are DOWN."""
    rig.alive -= set(regions)
    await asyncio.sleep(GONE_S)


@in_virtual_time()
async def test_a_fallback_job_goes_to_another_region_when_its_own_is_down(rig: Rig) -> None:
    await lose(rig, IAD)
    stored = await rig.run(regions=(IAD,))
    assert stored.state is JobState.SUCCESS
    assert rig.seen(stored.job.id)[0] in (LAX, ORD)


@in_virtual_time()
async def test_a_strict_job_waits_for_its_region(rig: Rig) -> None:
    await lose(rig, IAD)
    job_id = await rig.submit(regions=(IAD,), region_policy=STRICT)
    await asyncio.sleep(STRICT_DOWN_S / 2)
    assert rig.seen(job_id) == []
    rig.alive.add(IAD)
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert rig.seen(job_id) == [IAD]


@in_virtual_time()
async def test_a_strict_job_fails_when_its_region_has_been_down_for_long(rig: Rig) -> None:
    await lose(rig, IAD)
    begun = rig.loop.time()
    stored = await rig.run(regions=(IAD,), region_policy=STRICT)
    assert stored.state is JobState.FAILED
    assert b'"regions_down"' in (stored.result or b"")
    assert STRICT_DOWN_S - GONE_S <= rig.loop.time() - begun <= STRICT_DOWN_S
    assert states(stored) == [LegState.ENDED]


@in_virtual_time()
async def test_a_strict_job_fails_at_once_when_its_turn_comes_that_late(rig: Rig) -> None:
    await lose(rig, IAD)
    await asyncio.sleep(STRICT_DOWN_S)
    begun = rig.loop.time()
    assert (await rig.run(regions=(IAD,), region_policy=STRICT)).state is JobState.FAILED
    assert rig.loop.time() - begun < 1.0


@in_virtual_time(down=(IAD,))
async def test_a_region_that_was_never_heard_counts_as_down_from_the_start(rig: Rig) -> None:
    stored = await rig.run(regions=(IAD,), region_policy=STRICT)
    assert stored.state is JobState.FAILED
    assert rig.loop.time() < STRICT_DOWN_S + 5


@in_virtual_time()
async def test_a_request_that_may_be_sent_once_is_not_sent_to_a_region_that_went_down_meanwhile(
    rig: Rig,
) -> None:
    rig.store.jobs.marking_takes_s = GONE_S
    rig.alive.discard(IAD)
    job_id = await rig.submit(regions=(IAD,), guarantee=Guarantee.AT_MOST_ONCE)
    await asyncio.sleep(GONE_S)
    rig.store.jobs.marking_takes_s = 0.0
    stored = await rig.ended(job_id)
    assert stored.state is JobState.SUCCESS
    assert len(rig.seen(job_id)) == 1
    assert [attempt.written for attempt in run_of(stored).attempts] == [False, True]
    assert rig.shard.targets.limiter(stored.job.domain).in_flight == 0


@in_virtual_time()
async def test_a_strict_race_goes_on_in_the_regions_that_are_left(rig: Rig) -> None:
    await lose(rig, IAD)
    begun = rig.loop.time()
    stored = await rig.run(regions=ALL, region_policy=STRICT)
    assert stored.state is JobState.SUCCESS
    assert rig.loop.time() - begun < 1.0
    assert IAD not in rig.seen(stored.job.id)


@in_virtual_time()
async def test_a_strict_race_fails_when_all_its_regions_are_gone(rig: Rig) -> None:
    await lose(rig, IAD, LAX)
    stored = await rig.run(regions=(IAD, LAX), region_policy=STRICT)
    assert (stored.state, states(stored)) == (JobState.FAILED, [LegState.ENDED] * 2)


@in_virtual_time()
async def test_a_strict_step_whose_region_is_gone_goes_on_to_its_fallback(rig: Rig) -> None:
    await lose(rig, IAD)
    other = JobSpec(url=f"{URL}other", regions=(LAX,), metadata={})
    stored = await rig.run(regions=(IAD,), region_policy=STRICT, fallback=Fallback(Trigger(), other))
    assert stored.state is JobState.SUCCESS
    assert [call.url for call in rig.calls] == [f"{URL}other"]


@in_virtual_time()
async def test_the_legs_of_a_strict_fanout_that_can_run_do_and_the_others_fail(rig: Rig) -> None:
    await lose(rig, LAX)
    stored = await rig.run(regions=ALL, region_policy=STRICT, execution_mode=ExecutionMode.FANOUT)
    assert stored.state is JobState.SUCCESS
    assert states(stored) == [LegState.WON, LegState.ENDED, LegState.WON]
    assert set(json.loads(stored.result or b"")["responses"]) == {IAD, ORD}


@in_virtual_time(Pace(10.0, 1))
async def test_the_legs_of_a_fanout_are_not_passed_over_by_a_stream_of_other_jobs(rig: Rig) -> None:
    fanout = await rig.submit(regions=ALL, execution_mode=ExecutionMode.FANOUT)
    await asyncio.sleep(0.001)
    for _ in range(100):
        await rig.submit(regions=(IAD,))
    await rig.ended(fanout, within_s=2.0)
    assert set(rig.seen(fanout)) == set(ALL)


@in_virtual_time()
async def test_a_hedge_stays_in_its_first_region_while_that_answers_in_time(rig: Rig) -> None:
    stored = await rig.run(regions=ALL, execution_mode=ExecutionMode.HEDGE)
    await asyncio.sleep(10)
    assert rig.seen(stored.job.id) == [IAD]
    assert states(stored) == [LegState.WON]


@in_virtual_time()
async def test_a_hedge_tries_the_next_region_when_the_first_is_late_and_cancels_it(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=20.0 if call.region == IAD else 0.01)
    begun = rig.loop.time()
    stored = await rig.run(regions=ALL, execution_mode=ExecutionMode.HEDGE)
    assert states(stored) == [LegState.CANCELLED, LegState.WON]
    assert rig.seen(stored.job.id) == [IAD, LAX]
    assert rig.loop.time() - begun < 2.0
    assert len(rig.shard.targets.dispatcher) == 0


@in_virtual_time()
async def test_what_is_late_is_learned_from_the_targets_answers(rig: Rig) -> None:
    for _ in range(30):
        await rig.run(regions=(IAD,))
    rig.answer = lambda call: Reply(after_s=20.0 if call.region == IAD else 0.01)
    begun = rig.loop.time()
    await rig.run(regions=ALL, execution_mode=ExecutionMode.HEDGE)
    assert rig.loop.time() - begun < 0.2


@in_virtual_time()
async def test_a_hedge_goes_through_its_regions_one_by_one(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=20.0 if call.region != ORD else 0.01)
    stored = await rig.run(regions=ALL, execution_mode=ExecutionMode.HEDGE)
    assert rig.seen(stored.job.id) == [IAD, LAX, ORD]
    assert states(stored) == [LegState.CANCELLED, LegState.CANCELLED, LegState.WON]


@in_virtual_time(Pace(1.0, 5))
async def test_a_hedge_takes_no_permit_that_another_job_waits_for(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=4.5 if call.url.endswith("slow") else 0.01)
    slow = await rig.submit(url=f"{URL}slow", regions=ALL, execution_mode=ExecutionMode.HEDGE)
    for _ in range(10):
        await rig.submit(regions=(IAD,))
    await rig.ended(slow)
    assert rig.seen(slow) == [IAD]


@in_virtual_time()
async def test_the_regions_are_shown_with_their_health_and_for_how_long_they_have_been_down(rig: Rig) -> None:
    await lose(rig, IAD)
    await asyncio.sleep(10)
    shown = {region.name: region for region in LocalShard(rig.shard).regions()}
    assert [shown[region].health for region in ALL] == ["down", "up", "up"]
    assert 10 <= shown[IAD].down_s <= 12
    assert (shown[LAX].down_s, shown[LAX].attempts_open) == (0.0, 0)


async def race_beside_others(rig: Rig) -> JobId:
    """Let a race begin while others wait, at targets that take their time."""
    rig.answer = lambda call: Reply(after_s=30.0)
    race = await rig.submit(customer="cust_race", regions=ALL, timeout_ms=60_000)
    for _ in range(8):
        await rig.submit(customer="cust_other", timeout_ms=60_000)
    await asyncio.sleep(0.6)
    assert rig.seen(race) == [IAD]
    return race


@in_virtual_time(Pace(1.0, 100))
async def test_further_legs_are_still_spare_ones_after_a_restart(rig: Rig) -> None:
    race = await race_beside_others(rig)
    await rig.restart()
    await asyncio.sleep(9)
    assert rig.seen(race) == [IAD, IAD]


@in_virtual_time(Pace(1.0, 100))
async def test_a_further_leg_whose_connection_was_slow_queues_as_a_further_leg_again(rig: Rig) -> None:
    rig.connects_in_s = {LAX: 0.2, ORD: 0.2}
    rig.answer = lambda call: Reply(after_s=30.0)
    race = await rig.submit(customer="cust_race", regions=ALL, timeout_ms=60_000)
    await asyncio.sleep(1.1)
    for _ in range(8):
        await rig.submit(customer="cust_other")
    await asyncio.sleep(8)
    assert rig.seen(race) == [IAD]


@in_virtual_time(Pace(1.0, 100))
async def test_a_further_leg_that_is_repeated_takes_no_first_legs_permit(rig: Rig) -> None:
    paced = Reply(status=429, headers={"retry-after": "0"})
    rig.answer = lambda call: Reply(after_s=30.0) if call.region == IAD else paced
    race = await rig.submit(customer="cust_race", regions=(IAD, LAX), timeout_ms=60_000)
    await asyncio.sleep(1.3)
    assert rig.seen(race) == [IAD, LAX]
    rig.answer = lambda call: Reply()
    for _ in range(8):
        await rig.submit(customer="cust_other", regions=(ORD,))
    await asyncio.sleep(8)
    assert rig.seen(race) == [IAD, LAX]


@in_virtual_time(Pace(2.0, 5))
async def test_a_spare_leg_that_waited_for_its_region_is_still_a_spare_one(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=9.0 if call.url.endswith("race") else 0.01)
    await lose(rig, LAX)
    race = await rig.submit(url=f"{URL}race", regions=(IAD, LAX), region_policy=STRICT)
    await asyncio.sleep(0.01)
    assert rig.seen(race) == [IAD]
    others = [await rig.submit() for _ in range(9)]
    rig.alive.add(LAX)
    for job_id in others:
        await rig.ended(job_id)
    assert rig.seen(race) == [IAD]


@in_virtual_time(down=(ORD,))
async def test_a_target_that_only_one_region_reaches_goes_on_when_there_is_room_on_the_way_there(
    rig: Rig,
) -> None:
    rig.answer = lambda call: Reply(fault=Fault.CONNECT if call.region == LAX else None)
    once = RetryPolicy(max_retries=0, max_reroutes=0)
    for _ in range(10):
        await rig.run(regions=(LAX,), region_policy=STRICT, retry_policy=once)
    node = rig.shard.peers.find(executor_address(IAD))
    assert node is not None
    node.link.mail.take(MAIL_BYTES)
    job_id = await rig.submit(regions=(IAD, LAX))
    await asyncio.sleep(0.5)
    assert rig.seen(job_id) == []

    node.link.mail.give_back(MAIL_BYTES)

    await asyncio.sleep(0.5)
    assert set(rig.seen(job_id)) == {IAD}
