"""When a job is won or lost, and what is left to its other legs and steps."""

from msgspec.structs import replace

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.course import begin_step
from orchestrator.domain.execution.fallbacks import timeout_after
from orchestrator.domain.execution.outcomes import BeginStep, GoOn, Lost, Outcome, RepeatLeg, Won, give_up_leg
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import LegState
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.policies import ExecutionMode, Guarantee
from tests.unit.domain.builders import IAD, LAX, NOW_MS, answered, failed
from tests.unit.domain.plays import ANY, Play, chain, leg_states, on_error, on_timeout


def test_a_job_without_a_matching_fallback_is_lost_with_its_own_response() -> None:
    outcome = Play(chain(on_error(500))).play(0, answered(404, b"no such thing"))

    assert isinstance(outcome, Lost)
    assert outcome.answer is not None
    assert outcome.answer.response.body == b"no such thing"


def test_a_job_is_lost_when_its_last_step_fails() -> None:
    play = Play(chain(ANY))
    play.play(0, answered(404))

    outcome = play.play(1, answered(410))

    assert isinstance(outcome, Lost)
    assert outcome.step == 1
    assert outcome.answer is not None
    assert outcome.answer.response.status == 410


def test_a_late_step_and_its_fallback_run_against_each_other() -> None:
    play = Play(chain(on_timeout(1_000)))
    slow = play.send()
    assert timeout_after(play.course, play.spec, 0) == (1, 1_000)
    play.course = begin_step(play.course, play.spec, 1)

    outcome = play.play(1, answered(200))

    assert isinstance(outcome, Won)
    assert outcome.step == 1
    lost = next(attempt for attempt in play.course.attempts if attempt.id == slow)
    assert (lost.fault, lost.verdict) == (Fault.CANCELLED, Verdict.END)


def test_a_late_step_that_fails_leaves_the_job_to_its_running_fallback() -> None:
    play = Play(chain(on_timeout(1_000)))
    slow = play.send()
    play.course = begin_step(play.course, play.spec, 1)

    assert play.end(slow, answered(404)) == GoOn()
    assert isinstance(play.play(1, answered(404)), Lost)


def test_an_outcome_that_nobody_can_know_begins_no_fallback() -> None:
    play = Play(chain(ANY, guarantee=Guarantee.AT_MOST_ONCE))

    outcome = play.play(0, failed(Fault.BROKEN))

    assert isinstance(outcome, Lost)
    assert outcome.failure.code is FailureCode.UNKNOWN_OUTCOME


def test_an_attempt_of_another_job_changes_nothing() -> None:
    play = Play(chain(ANY))
    before = play.course

    assert play.end(AttemptId("9.9"), answered(200)) == GoOn()
    assert play.course == before


GONE = Failure(FailureCode.REGIONS_DOWN, "gone")


def give_up(play: Play, leg: int) -> Outcome:
    play.course, outcome = give_up_leg(play.course, play.spec, 0, leg, GONE, NOW_MS)
    return outcome


def test_a_leg_that_is_given_up_leaves_the_others_running() -> None:
    play = Play(chain(ANY, regions=(IAD, LAX)))
    assert give_up(play, 0) == GoOn()
    assert leg_states(play) == [LegState.ENDED, LegState.WAITING]


def test_when_the_last_leg_is_given_up_the_fallback_for_any_failure_begins() -> None:
    assert give_up(Play(chain(ANY)), 0) == BeginStep(1)
    assert give_up(Play(chain(on_error(503))), 0) == Lost(0, GONE, None)


def test_a_lost_race_shows_the_answer_of_a_leg_before_that_of_one_that_never_ran() -> None:
    play = Play(chain(regions=(IAD, LAX)))
    play.end(play.send(leg=0), answered(404))
    outcome = give_up(play, 1)
    assert isinstance(outcome, Lost)
    assert outcome.failure.code is FailureCode.STATUS


def test_a_fanout_whose_last_leg_is_given_up_succeeds_if_another_did() -> None:
    play = Play(chain(regions=(IAD, LAX), execution_mode=ExecutionMode.FANOUT))
    play.end(play.send(leg=0), answered(200))
    assert isinstance(give_up(play, 1), Won)


def test_a_probe_that_fails_spends_nothing_and_waits_half_a_minute_at_most() -> None:
    play = Play(chain(retry_policy=RetryPolicy(max_retries=0, max_reroutes=0)))
    for _ in range(20):
        outcome = play.play(0, replace(answered(500), probe=True))
        assert outcome == RepeatLeg(0, 0, spends=False)
    run = play.course.runs[0]
    assert run is not None
    assert (run.retries, run.reroutes) == (0, 0)
    assert run.legs[0].not_before_ms - NOW_MS == 30_000
