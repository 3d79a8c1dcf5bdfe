"""Fallbacks as steps of one job: which one begins, and when."""

from functools import partial

import pytest
from msgspec.structs import replace

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.course import begin_step, with_attempt
from orchestrator.domain.execution.fallbacks import leave_shut_step, timeout_after
from orchestrator.domain.execution.outcomes import BeginStep, GoOn, RepeatLeg, Won
from orchestrator.domain.execution.run import LegState, note_start
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.policies import ExecutionMode
from tests.unit.domain.builders import IAD, LAX, NOW_MS, REGIONS, answered, failed
from tests.unit.domain.plays import ANY, Play, chain, leg_states, on_error, on_timeout


def test_a_code_in_its_trigger_begins_a_fallback_at_once() -> None:
    play = Play(chain(on_error(500)))

    assert play.play(0, answered(500)) == BeginStep(1)
    assert play.course.runs[1] is not None


def test_a_code_that_the_jobs_own_policy_lists_is_repeated_before_the_fallback_begins() -> None:
    policy = RetryPolicy(max_retries=1, retry_codes=frozenset({429}))
    play = Play(chain(on_error(429), retry_policy=policy))

    assert play.play(0, answered(429)) == RepeatLeg(0, 0, spends=True)
    assert play.play(0, answered(429)) == BeginStep(1)


def test_a_429_without_a_policy_goes_to_the_fallback_that_waits_for_it() -> None:
    assert Play(chain(on_error(429))).play(0, answered(429)) == BeginStep(1)


def test_a_trigger_that_does_not_match_passes_the_outcome_on_to_the_next() -> None:
    play = Play(chain(on_error(500), on_error(404), ANY))

    assert play.play(0, answered(404)) == BeginStep(2)
    assert play.course.runs[1] is None


def test_a_code_that_only_a_later_fallback_waits_for_is_repeated_before_any_failure_is_handed_on() -> None:
    play = Play(chain(ANY, on_error(500)))

    assert play.play(0, answered(500)) == RepeatLeg(0, 0, spends=True)
    assert play.course.runs[1] is None


def test_a_race_goes_on_with_its_other_legs_when_one_meets_a_fallbacks_code() -> None:
    play = Play(chain(on_error(500), regions=(IAD, LAX)))
    first, second = play.send(0, 0), play.send(0, 1)

    assert play.end(first, answered(500)) == GoOn()
    assert play.end(second, answered(503)) == RepeatLeg(0, 1, spends=True)
    assert play.end(play.send(0, 1), answered(404)) == BeginStep(1)


@pytest.mark.parametrize("codes", [(404, 500), (500, 404)])
def test_a_race_goes_on_to_the_fallback_for_the_end_of_any_of_its_legs(codes: tuple[int, int]) -> None:
    play = Play(chain(on_error(500), regions=(IAD, LAX)))
    legs = play.send(0, 0), play.send(0, 1)

    assert play.end(legs[0], answered(codes[0])) == GoOn()
    assert play.end(legs[1], answered(codes[1])) == BeginStep(1)


@pytest.mark.parametrize("first", [0, 1])
def test_a_race_one_of_whose_legs_timed_out_goes_on_to_the_fallback_for_lateness(first: int) -> None:
    spec = chain(
        on_timeout(60_000), regions=(IAD, LAX), retry_policy=RetryPolicy(max_retries=0, max_reroutes=0)
    )
    play = Play(spec)
    legs = play.send(0, 0), play.send(0, 1)

    play.end(legs[first], failed(Fault.TIMEOUT))
    assert play.end(legs[1 - first], answered(404)) == BeginStep(1)


def test_a_late_step_that_fails_begins_no_fallback_of_the_one_that_runs() -> None:
    play = Play(chain(on_timeout(1_000), on_error(500)))
    slow = play.send()
    play.course = begin_step(play.course, play.spec, 1)

    assert play.end(slow, answered(500)) == RepeatLeg(0, 0, spends=True)
    for _ in range(5):
        outcome = play.play(0, answered(500))
    assert outcome == GoOn()
    assert play.course.runs[2] is None
    assert play.play(1, answered(500)) == BeginStep(2)


def test_the_next_fallback_is_judged_by_how_the_one_before_it_went() -> None:
    play = Play(chain(on_error(500), on_error(404)))

    assert play.play(0, answered(500)) == BeginStep(1)
    assert play.play(1, answered(404)) == BeginStep(2)


def test_an_empty_trigger_matches_a_connection_that_never_came_about() -> None:
    spec = chain(ANY, retry_policy=RetryPolicy(max_retries=0, max_reroutes=0))

    assert Play(spec).play(0, failed(Fault.CONNECT, written=False)) == BeginStep(1)


def test_a_step_that_has_begun_does_not_begin_again() -> None:
    play = Play(chain(on_timeout(1_000)))
    play.course = begin_step(play.course, play.spec, 1)

    assert timeout_after(play.course, play.spec, 0) is None


def test_a_time_out_of_the_attempt_itself_begins_the_fallback_that_waits_for_lateness() -> None:
    spec = chain(on_timeout(60_000), retry_policy=RetryPolicy(max_retries=0, max_reroutes=0))

    assert Play(spec).play(0, failed(Fault.TIMEOUT)) == BeginStep(1)


def test_lateness_counts_from_a_steps_first_start() -> None:
    play = Play(chain(on_timeout(1_000), regions=(IAD, LAX), execution_mode=ExecutionMode.RACE))
    for leg, started_ms in ((0, NOW_MS + 50), (1, NOW_MS + 20)):
        attempt = play.send(0, leg)
        begun = partial(note_start, attempt=attempt, started_ms=started_ms)
        play.course = with_attempt(play.course, attempt, begun)

    assert play.course.first_start_ms(0) == NOW_MS + 20
    assert play.course.first_start_ms(1) is None


def shut(play: Play, cause: Cause, step: int = 0) -> int | None:
    """Let every way to a step's target be shut; say which step begins."""
    play.course, following = leave_shut_step(play.course, play.spec, step, cause)
    return following


def test_an_open_breaker_counts_as_the_code_that_opened_it() -> None:
    play = Play(chain(on_error(503)))
    assert shut(play, Cause(503)) == 1
    assert leg_states(play) == [LegState.SKIPPED]
    assert isinstance(play.play(1, answered(200)), Won)


def test_an_open_breaker_passes_a_trigger_that_does_not_match() -> None:
    assert shut(Play(chain(on_error(404), on_error(503))), Cause(503)) == 2
    assert shut(Play(chain(on_error(404), ANY)), Cause(503)) == 2


def test_behind_a_breaker_that_another_code_opened_a_step_waits() -> None:
    play = Play(chain(on_error(404)))
    assert shut(play, Cause(503)) is None
    assert leg_states(play) == [LegState.WAITING]


def test_a_breaker_that_time_outs_opened_counts_as_late() -> None:
    assert shut(Play(chain(on_timeout(100))), Cause(None, Fault.TIMEOUT)) == 1
    assert shut(Play(chain(on_timeout(100))), Cause(None, Fault.CONNECT)) is None


def test_a_code_that_the_jobs_own_policy_lists_waits_behind_the_breaker_until_it_is_spent() -> None:
    policy = RetryPolicy(max_retries=1, retry_codes=frozenset({503}))
    play = Play(chain(on_error(503), retry_policy=policy))
    assert shut(play, Cause(503)) is None
    play.play(0, answered(503))
    assert shut(play, Cause(503)) == 1
    assert leg_states(play) == [LegState.ENDED]


def test_a_step_with_a_leg_under_way_is_not_left() -> None:
    play = Play(chain(ANY, regions=REGIONS))
    play.send(leg=1)
    assert shut(play, Cause(503)) is None


def test_a_probe_that_meets_the_code_of_a_fallback_goes_on_to_it() -> None:
    assert Play(chain(on_error(503))).play(0, replace(answered(503), probe=True)) == BeginStep(1)
