"""Fallbacks as steps of one job: which one begins, and when the job is won or lost."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from orchestrator.domain.course import (
    BeginStep,
    GoOn,
    Lost,
    Outcome,
    RepeatLeg,
    Won,
    begin_course,
    begin_step,
    dispatch_leg,
    first_start_ms,
    lose_all_steps,
    open_in_course,
    settle_attempt,
    step_name,
    timeout_after,
    with_attempt,
)
from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import AttemptId
from orchestrator.domain.job import (
    ExecutionMode,
    Fallback,
    Guarantee,
    JobSpec,
    RetryPolicy,
    Trigger,
    TriggerKind,
)
from orchestrator.domain.run import note_start
from orchestrator.domain.settling import Ended, FailureCode
from tests.unit.domain.builders import IAD, LAX, NOW_MS, REGIONS, a_spec, answered, failed

ANY = Trigger()


def on_error(*codes: int) -> Trigger:
    return Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset(codes))


def on_timeout(timeout_ms: int) -> Trigger:
    return Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=timeout_ms)


def chain(*triggers: Trigger, **primary: Any) -> JobSpec:
    """A job with one fallback a trigger, nested in that order."""
    fallback = None
    for number, trigger in reversed(list(enumerate(triggers, 1))):
        spec = a_spec(url=f"https://fallback-{number}.example.com/", fallback=fallback)
        fallback = Fallback(trigger, spec)
    return a_spec(fallback=fallback, **primary)


class Play:
    """A job whose attempts go out and end as the test says."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.course = begin_course(spec)
        self._ids = 0

    def send(self, step: int = 0, leg: int = 0) -> AttemptId:
        self._ids += 1
        attempt = AttemptId(f"1.{self._ids:x}")
        run = self.course.runs[step]
        assert run is not None
        region = run.legs[leg].region
        self.course, _ = dispatch_leg(self.course, step, leg, attempt, region, NOW_MS)
        return attempt

    def end(self, attempt: AttemptId, ended: Ended) -> Outcome:
        self.course, outcome = settle_attempt(
            self.course, self.spec, attempt, ended, now_ms=NOW_MS, jitter=0.5, up=REGIONS
        )
        return outcome

    def play(self, step: int, ended: Ended) -> Outcome:
        return self.end(self.send(step), ended)


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


def test_the_next_fallback_is_judged_by_how_the_one_before_it_went() -> None:
    play = Play(chain(on_error(500), on_error(404)))

    assert play.play(0, answered(500)) == BeginStep(1)
    assert play.play(1, answered(404)) == BeginStep(2)


def test_a_job_without_a_matching_fallback_is_lost_with_its_own_response() -> None:
    outcome = Play(chain(on_error(500))).play(0, answered(404, b"no such thing"))

    assert isinstance(outcome, Lost)
    assert outcome.answer is not None
    assert outcome.answer.response.body == b"no such thing"


def test_an_empty_trigger_matches_a_connection_that_never_came_about() -> None:
    spec = chain(ANY, retry_policy=RetryPolicy(max_retries=0, max_reroutes=0))

    assert Play(spec).play(0, failed(Fault.CONNECT, written=False)) == BeginStep(1)


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
    assert outcome.cancel == (slow,)


def test_a_late_step_that_fails_leaves_the_job_to_its_running_fallback() -> None:
    play = Play(chain(on_timeout(1_000)))
    slow = play.send()
    play.course = begin_step(play.course, play.spec, 1)

    assert play.end(slow, answered(404)) == GoOn()
    assert isinstance(play.play(1, answered(404)), Lost)


def test_a_step_that_has_begun_does_not_begin_again() -> None:
    play = Play(chain(on_timeout(1_000)))
    play.course = begin_step(play.course, play.spec, 1)

    assert timeout_after(play.course, play.spec, 0) is None


def test_a_time_out_of_the_attempt_itself_begins_the_fallback_that_waits_for_lateness() -> None:
    spec = chain(on_timeout(60_000), retry_policy=RetryPolicy(max_retries=0, max_reroutes=0))

    assert Play(spec).play(0, failed(Fault.TIMEOUT)) == BeginStep(1)


def test_attempts_are_numbered_over_all_steps() -> None:
    play = Play(chain(ANY))
    play.play(0, answered(404))
    play.send(1)

    assert [attempt.number for attempt in play.course.attempts] == [1, 2]
    assert play.course.made == 2


def test_lateness_counts_from_a_steps_first_start() -> None:
    play = Play(chain(on_timeout(1_000), regions=(IAD, LAX), execution_mode=ExecutionMode.RACE))
    for leg, started_ms in ((0, NOW_MS + 50), (1, NOW_MS + 20)):
        attempt = play.send(0, leg)
        begun = partial(note_start, attempt=attempt, started_ms=started_ms)
        play.course = with_attempt(play.course, attempt, begun)

    assert first_start_ms(play.course, 0) == NOW_MS + 20
    assert first_start_ms(play.course, 1) is None


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


def test_a_crash_sends_the_legs_of_every_step_back_to_wait() -> None:
    play = Play(chain(on_timeout(1_000)))
    play.send()
    play.course = begin_step(play.course, play.spec, 1)
    play.send(1)

    after = lose_all_steps(play.course)

    assert open_in_course(after) == []
    assert after.crashes == 1
    assert after.children == replace(after).children


@pytest.mark.parametrize(("step", "name"), [(0, "primary"), (1, "fallback_1"), (2, "fallback_2")])
def test_steps_have_the_names_that_webhooks_give_them(step: int, name: str) -> None:
    assert step_name(step) == name
