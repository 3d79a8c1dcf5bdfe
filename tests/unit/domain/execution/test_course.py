"""What a course knows of its steps."""

import pytest
from msgspec.structs import replace

from orchestrator.domain.execution.course import (
    begin_step,
    dispatch_leg,
    hedge_step,
    lose_all_steps,
    step_name,
)
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.policies import ExecutionMode
from tests.unit.domain.builders import IAD, LAX, NOW_MS, REGIONS, answered
from tests.unit.domain.plays import ANY, Play, chain, on_timeout


def test_attempts_are_numbered_over_all_steps() -> None:
    play = Play(chain(ANY))
    play.play(0, answered(404))
    play.send(1)

    assert [attempt.number for attempt in play.course.attempts] == [1, 2]
    assert play.course.made == 2


def test_a_crash_sends_the_legs_of_every_step_back_to_wait() -> None:
    play = Play(chain(on_timeout(1_000)))
    play.send()
    play.course = begin_step(play.course, play.spec, 1)
    play.send(1)

    after = lose_all_steps(play.course, crashed=True)

    assert after.open_attempts == []
    assert after.crashes == 1
    assert after.children == replace(after).children


@pytest.mark.parametrize(("step", "name"), [(0, "primary"), (1, "fallback_1"), (2, "fallback_2")])
def test_steps_have_the_names_that_webhooks_give_them(step: int, name: str) -> None:
    assert step_name(step) == name


def test_a_hedge_plans_its_legs_one_by_one_in_regions_that_it_has_not_used() -> None:
    play = Play(chain(regions=REGIONS, execution_mode=ExecutionMode.HEDGE))
    play.send()
    legs = []
    for _ in range(3):
        play.course, leg = hedge_step(play.course, play.spec, 0)
        legs.append(leg)
    assert legs == [1, 2, None]
    run = play.course.runs[0]
    assert run is not None
    assert [leg.region for leg in run.legs] == list(REGIONS)


def test_a_hedge_of_one_region_has_one_leg_wherever_that_ran() -> None:
    play = Play(chain(regions=(IAD,), execution_mode=ExecutionMode.HEDGE))
    play.course, _ = dispatch_leg(play.course, 0, 0, AttemptId("1.1"), LAX, NOW_MS)
    assert hedge_step(play.course, play.spec, 0) == (play.course, None)
