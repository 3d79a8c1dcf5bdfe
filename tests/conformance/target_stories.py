"""What every ``Targets`` has to stand: the stories of the conformance suite, by what they show."""

import asyncio
import math

from orchestrator.domain.exchange import Fault
from orchestrator.domain.jobs.policies import ExecutionMode, RegionPolicy
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.ports.targets import AttemptEnded, Late, Placed, RegionsGone, RunStep, Shut, Started, Turn
from tests.conformance.target_sides import (
    DOMAIN,
    FAR,
    NEAR,
    PATH,
    RemoteSide,
    Side,
    Story,
    claim,
    plan,
    send,
    withdraw,
    within,
)
from tests.support.rig import IAD, LAX, ORD, Reply

ONE = plan(IAD)
RACE = plan(IAD, LAX, ORD)
ONE_AT_A_TIME = Pace(1_000.0, 1)
SLOW = Reply(after_s=20.0)


async def a_leg_lines_up_runs_and_is_told_of_to_its_end(side: Side) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.send(send(placed))
    ended = await side.hears(AttemptEnded, "a")
    assert (placed.region, ended.attempt) == (IAD, placed.attempt)
    assert ended.ended.response is not None
    assert ended.ended.response.status == 200
    side.targets.withdraw([withdraw("a", ONE)])
    await side.comes_to_rest()
    assert [len(side.told(kind, "a")) for kind in (Turn, Placed, AttemptEnded)] == [1, 1, 1]


async def a_turn_that_is_passed_up_goes_to_the_next(side: Side) -> None:
    side.targets.line_up(claim("a", 0, ONE))
    turn = await side.hears(Turn, "a")
    side.targets.line_up(claim("b", 0, ONE))
    await asyncio.sleep(1)
    assert side.told(Turn, "b") == []
    side.targets.pass_up(turn)
    side.targets.pass_up(await side.hears(Turn, "b"))
    side.targets.withdraw([withdraw("a", ONE), withdraw("b", ONE)])
    await side.comes_to_rest()


async def what_is_withdrawn_while_it_waits_has_no_turn(side: Side) -> None:
    turn_of_another = await _only_turn(side, "a")
    side.targets.line_up(claim("b", 0, ONE))
    side.targets.withdraw([withdraw("b", ONE)])
    side.targets.pass_up(turn_of_another)
    side.targets.withdraw([withdraw("a", ONE)])
    await side.comes_to_rest()
    assert side.told(Turn, "b") == []


async def what_is_withdrawn_with_its_turn_gives_that_to_the_next(side: Side) -> None:
    turn = await _only_turn(side, "a")
    side.targets.line_up(claim("b", 0, ONE))
    side.targets.withdraw([withdraw("a", ONE)])
    side.targets.pass_up(turn)
    side.targets.pass_up(await side.hears(Turn, "b"))
    side.targets.withdraw([withdraw("b", ONE)])
    await side.comes_to_rest()


async def what_is_withdrawn_before_it_is_sent_is_never_sent_and_told_of(side: Side) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.withdraw([withdraw("a", ONE)])
    side.targets.send(send(placed))
    ended = await side.hears(AttemptEnded, "a")
    assert (ended.attempt, ended.ended.written) == (placed.attempt, False)
    await side.comes_to_rest()
    assert side.rig.calls == []


async def what_is_withdrawn_while_it_runs_is_cancelled_and_told_of(side: Side) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.send(send(placed))
    await _until_called(side, 1)
    side.targets.withdraw([withdraw("a", ONE)])
    ended = await side.hears(AttemptEnded, "a")
    assert ended.ended.fault is Fault.CANCELLED
    await side.comes_to_rest()


async def the_legs_of_a_race_line_up_once_the_first_has_gone_out(side: Side) -> None:
    first = await side.take_turn("a", RACE)
    side.targets.send(send(first))
    sent = [0]
    for leg in (1, 2):
        turn = await side.hears(Turn, "a", leg)
        side.targets.run(RunStep(turn, plan(IAD, LAX, ORD, sent=tuple(sent)), PATH, may_leave=False))
        side.targets.send(send(await side.hears(Placed, "a", leg)))
        sent.append(leg)
    await _until_called(side, 3)
    assert {call.region for call in side.rig.calls} == {IAD, LAX, ORD}
    side.targets.withdraw([withdraw("a", RACE)])
    await side.comes_to_rest()
    assert len(side.told(AttemptEnded, "a")) == 3


async def a_start_is_told_and_so_is_a_hedge_that_is_late(side: Side) -> None:
    hedge = plan(IAD, LAX, mode=ExecutionMode.HEDGE)
    placed = await side.take_turn("a", hedge)
    side.targets.send(send(placed))
    assert (await side.hears(Started, "a")).attempt == placed.attempt
    assert (await side.hears(Late, "a")).attempt == placed.attempt
    side.targets.withdraw([withdraw("a", hedge)])
    await side.comes_to_rest()


async def a_leg_whose_only_region_is_down_for_long_is_gone(side: Side) -> None:
    strict = plan(LAX, policy=RegionPolicy.STRICT)
    await side.goes_on_until("a", strict, RegionsGone)
    side.targets.withdraw([withdraw("a", strict)])
    await side.comes_to_rest()


async def a_step_whose_every_way_is_shut_is_told_so(side: Side) -> None:
    side.rig.answer = lambda call: Reply(status=503)
    jobs = [f"b{number}" for number in range(40)]
    strict = plan(IAD, policy=RegionPolicy.STRICT)
    for job in jobs:
        await side.goes_on_until(job, strict, AttemptEnded, Shut)
        side.targets.withdraw([withdraw(job, strict)])
    assert any(side.told(Shut, job) for job in jobs)
    await side.comes_to_rest()


async def a_turn_answered_twice_is_used_once(side: Side) -> None:
    side.targets.line_up(claim("a", 0, ONE))
    turn = await side.hears(Turn, "a")
    side.targets.run(RunStep(turn, ONE, PathClass("GET /"), may_leave=False))
    placed = await side.hears(Placed, "a")
    side.targets.send(send(placed))
    side.targets.send(send(placed))
    await side.hears(AttemptEnded, "a")
    side.targets.withdraw([withdraw("a", ONE)])
    side.targets.withdraw([withdraw("a", ONE)])
    await side.comes_to_rest()
    assert len(side.rig.calls) == 1


async def many_steps_in_one_breath_leave_nothing(side: Side) -> None:
    jobs = [f"c{number}" for number in range(60)]
    for job in jobs:
        side.targets.line_up(claim(job, 0, ONE))
    for job in set(jobs) - set(jobs[::3]):
        side.targets.withdraw([withdraw(job, ONE)])
        for turn in side.told(Turn, job):
            side.targets.pass_up(turn)
    for job in jobs[::3]:
        turn = await side.hears(Turn, job)
        side.targets.run(RunStep(turn, ONE, PATH, may_leave=False))
        side.targets.send(send(await side.hears(Placed, job)))
    for job in jobs[::3]:
        await side.hears(AttemptEnded, job)
        side.targets.withdraw([withdraw(job, ONE)])
    await side.comes_to_rest()
    assert len(side.rig.calls) == len(jobs[::3])


async def _only_turn(side: Side, job: str) -> Turn:
    side.targets.line_up(claim(job, 0, ONE))
    return await side.hears(Turn, job)


async def _until_called(side: Side, times: int) -> None:
    await within(lambda: len(side.rig.calls) >= times)


STORIES = {
    story.play.__name__: story
    for story in (
        Story(a_leg_lines_up_runs_and_is_told_of_to_its_end),
        Story(a_turn_that_is_passed_up_goes_to_the_next, ONE_AT_A_TIME),
        Story(what_is_withdrawn_while_it_waits_has_no_turn, ONE_AT_A_TIME),
        Story(what_is_withdrawn_with_its_turn_gives_that_to_the_next, ONE_AT_A_TIME),
        Story(what_is_withdrawn_before_it_is_sent_is_never_sent_and_told_of),
        Story(what_is_withdrawn_while_it_runs_is_cancelled_and_told_of, reply=SLOW),
        Story(the_legs_of_a_race_line_up_once_the_first_has_gone_out, reply=SLOW),
        Story(a_start_is_told_and_so_is_a_hedge_that_is_late, reply=SLOW),
        Story(a_leg_whose_only_region_is_down_for_long_is_gone, down=frozenset({LAX})),
        Story(a_step_whose_every_way_is_shut_is_told_so),
        Story(a_turn_answered_twice_is_used_once),
        Story(many_steps_in_one_breath_leave_nothing),
    )
}


async def a_shard_that_was_replaced_has_lost_what_ran_there_and_has_what_waits(side: RemoteSide) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.send(send(placed))
    await _until_called(side, 1)
    side.targets.line_up(claim("b", 0, ONE))
    await side.restart_far()
    lost = await side.hears(AttemptEnded, "a")
    assert (lost.attempt, lost.ended.fault, lost.ended.written) == (placed.attempt, Fault.LOST, True)
    side.targets.pass_up(await side.hears(Turn, "b"))
    side.targets.withdraw([withdraw("a", ONE), withdraw("b", ONE)])
    await side.comes_to_rest()


async def a_turn_from_before_its_target_was_replaced_is_not_used(side: RemoteSide) -> None:
    old = await _only_turn(side, "a")
    await side.restart_far()
    await within(lambda: len(side.told(Turn, "a")) > 1)
    new = side.told(Turn, "a")[1]
    assert (side.rig.shard.targets.limiter(DOMAIN).in_flight, new == old) == (1, False)
    for turn in (old, new):
        side.targets.run(RunStep(turn, ONE, PATH, may_leave=False))
    await side.hears(Placed, "a")
    side.targets.withdraw([withdraw("a", ONE)])
    await side.comes_to_rest()
    assert len(side.told(Placed, "a")) == 1


async def what_a_shard_that_fell_silent_has_elsewhere_is_taken_back(side: RemoteSide) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.send(send(placed))
    await _until_called(side, 1)
    await _only_turn(side, "b")
    side.way.cut |= {(NEAR, FAR)}
    await asyncio.sleep(5)
    shard = side.rig.shard
    assert (len(shard.targets.dispatcher), shard.targets.limiter(DOMAIN).in_flight) == (0, 0)
    side.way.cut.clear()
    assert (await side.hears(AttemptEnded, "a")).ended.fault is Fault.LOST
    await within(lambda: len(side.told(Turn, "b")) > 1)
    side.targets.pass_up(side.told(Turn, "b")[1])
    side.targets.withdraw([withdraw("a", ONE), withdraw("b", ONE)])
    await side.comes_to_rest()


async def what_reports_do_not_reach_is_taken_back_too(side: RemoteSide) -> None:
    await side.take_turn("a", ONE)
    side.way.cut |= {(FAR, NEAR)}
    side.targets.line_up(claim("b", 0, ONE))
    await asyncio.sleep(6)
    assert side.rig.shard.targets.limiter(DOMAIN).in_flight == 0
    side.way.cut.clear()
    side.targets.pass_up(await side.hears(Turn, "b"))
    side.targets.withdraw([withdraw("a", ONE), withdraw("b", ONE)])
    await side.comes_to_rest()


async def what_was_withdrawn_unsent_ends_with_a_shard_that_is_replaced(side: RemoteSide) -> None:
    placed = await side.take_turn("a", ONE)
    side.way.cut |= {(NEAR, FAR)}
    side.targets.withdraw([withdraw("a", ONE)])
    side.targets.send(send(placed))
    await side.restart_far()
    side.way.cut.clear()
    ended = (await side.hears(AttemptEnded, "a")).ended
    assert (ended.fault, ended.written) == (Fault.LOST, False)
    await side.comes_to_rest()
    assert side.rig.calls == []


async def what_a_jobs_shard_had_elsewhere_ends_with_its_epoch(side: RemoteSide) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.send(send(placed))
    await _until_called(side, 1)
    await _only_turn(side, "b")
    await side.restart_near()
    side.targets.line_up(claim("a", 0, ONE))
    side.targets.pass_up(await side.hears(Turn, "a"))
    side.targets.withdraw([withdraw("a", ONE)])
    await side.comes_to_rest()
    # The former life's attempt is told to nobody.
    assert side.told(AttemptEnded, "a") == []


async def what_a_shard_without_a_lease_has_elsewhere_is_taken_back(side: RemoteSide) -> None:
    placed = await side.take_turn("a", ONE)
    side.targets.send(send(placed))
    await _until_called(side, 1)
    side.lease_left_s[NEAR] = 0.0
    await asyncio.sleep(5)
    assert len(side.rig.shard.targets.dispatcher) == 0
    side.lease_left_s[NEAR] = math.inf
    assert (await side.hears(AttemptEnded, "a")).ended.fault is Fault.LOST
    side.targets.withdraw([withdraw("a", ONE)])
    await side.comes_to_rest()


async def a_shard_that_stops_passes_up_its_turns_elsewhere(side: RemoteSide) -> None:
    placed = await side.take_turn("a", ONE)
    side.near.drain()
    side.targets.line_up(claim("b", 0, ONE))
    await within(lambda: side.rig.shard.targets.limiter(DOMAIN).waiting == 0)
    side.targets.send(send(placed))
    assert (await side.hears(AttemptEnded, "a")).ended.response is not None
    assert (side.told(Turn, "b"), side.near.attempts_open) == ([], 0)
    side.targets.withdraw([withdraw("a", ONE), withdraw("b", ONE)])
    await side.comes_to_rest()


FAR_STORIES = {
    story.play.__name__: story
    for story in (
        Story(a_shard_that_was_replaced_has_lost_what_ran_there_and_has_what_waits, reply=SLOW),
        Story(a_turn_from_before_its_target_was_replaced_is_not_used),
        Story(what_a_shard_that_fell_silent_has_elsewhere_is_taken_back, reply=SLOW),
        Story(what_was_withdrawn_unsent_ends_with_a_shard_that_is_replaced),
        Story(what_reports_do_not_reach_is_taken_back_too),
        Story(what_a_jobs_shard_had_elsewhere_ends_with_its_epoch, reply=SLOW),
        Story(what_a_shard_without_a_lease_has_elsewhere_is_taken_back, reply=SLOW),
        Story(a_shard_that_stops_passes_up_its_turns_elsewhere),
    )
}
