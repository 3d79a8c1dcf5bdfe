"""Fallbacks as steps of one job: which one begins, and when the job is won or lost."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.domain.breaker import Cause
from orchestrator.domain.course import (
    begin_course,
    begin_step,
    dispatch_leg,
    first_start_ms,
    hedge_step,
    lose_all_steps,
    open_in_course,
    step_name,
    with_attempt,
)
from orchestrator.domain.exchange import Fault
from orchestrator.domain.fallbacks import leave_shut_step, timeout_after
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
from orchestrator.domain.outcomes import (
    BeginStep,
    GoOn,
    Lost,
    Outcome,
    RepeatLeg,
    Won,
    give_up_leg,
    settle_attempt,
)
from orchestrator.domain.retry import Verdict
from orchestrator.domain.run import LegState, note_start
from orchestrator.domain.settling import Ended, Failure, FailureCode
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
    lost = next(attempt for attempt in play.course.attempts if attempt.id == slow)
    assert (lost.fault, lost.verdict) == (Fault.CANCELLED, Verdict.END)


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

    after = lose_all_steps(play.course, crashed=True)

    assert open_in_course(after) == []
    assert after.crashes == 1
    assert after.children == replace(after).children


@pytest.mark.parametrize(("step", "name"), [(0, "primary"), (1, "fallback_1"), (2, "fallback_2")])
def test_steps_have_the_names_that_webhooks_give_them(step: int, name: str) -> None:
    assert step_name(step) == name


GONE = Failure(FailureCode.REGIONS_DOWN, "gone")


def shut(play: Play, cause: Cause, step: int = 0) -> int | None:
    """Let every way to a step's target be shut; say which step begins."""
    play.course, following = leave_shut_step(play.course, play.spec, step, cause)
    return following


def give_up(play: Play, leg: int) -> Outcome:
    play.course, outcome = give_up_leg(play.course, play.spec, 0, leg, GONE, NOW_MS)
    return outcome


def leg_states(play: Play, step: int = 0) -> list[LegState]:
    run = play.course.runs[step]
    assert run is not None
    return [leg.state for leg in run.legs]


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


def test_a_probe_that_fails_spends_nothing_and_waits_half_a_minute_at_most() -> None:
    play = Play(chain(retry_policy=RetryPolicy(max_retries=0, max_reroutes=0)))
    for _ in range(20):
        outcome = play.play(0, replace(answered(500), probe=True))
        assert outcome == RepeatLeg(0, 0, spends=False)
    run = play.course.runs[0]
    assert run is not None
    assert (run.retries, run.reroutes) == (0, 0)
    assert run.legs[0].not_before_ms - NOW_MS == 30_000


def test_a_probe_that_meets_the_code_of_a_fallback_goes_on_to_it() -> None:
    assert Play(chain(on_error(503))).play(0, replace(answered(503), probe=True)) == BeginStep(1)


def test_a_hedge_of_one_region_has_one_leg_wherever_that_ran() -> None:
    play = Play(chain(regions=(IAD,), execution_mode=ExecutionMode.HEDGE))
    play.course, _ = dispatch_leg(play.course, 0, 0, AttemptId("1.1"), LAX, NOW_MS)
    assert hedge_step(play.course, play.spec, 0) == (play.course, None)
