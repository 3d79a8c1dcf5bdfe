"""What an attempt's end means for its job: won, lost, repeated, or gone on with.

The first success of any step wins, and the job is lost when the last step that runs has failed.
"""

from collections.abc import Sequence

from msgspec import Struct

from orchestrator.domain.execution.course import Course, abandon_course, begin_step, with_run
from orchestrator.domain.execution.fallbacks import TIMEOUTS, codes_after, next_step
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.execution.settling import (
    Await,
    Decision,
    Ended,
    Fail,
    Failure,
    FailureCode,
    Repeat,
    Succeed,
    give_up,
    settle,
)
from orchestrator.domain.ids import AttemptId, RegionName
from orchestrator.domain.jobs.job import JobSpec


class Won(Struct, frozen=True):
    """A step succeeded, and all the others have been given up."""

    step: int
    answer: Answer


class Lost(Struct, frozen=True):
    """The last step failed."""

    step: int
    failure: Failure
    answer: Answer | None


class RepeatLeg(Struct, frozen=True):
    """Queue a leg of a step again; ``spends`` as in ``settling.Repeat``."""

    step: int
    leg: int
    spends: bool


class BeginStep(Struct, frozen=True):
    """A fallback's trigger matched: queue its first leg."""

    step: int


class GoOn(Struct, frozen=True):
    """Other legs or steps are still at work."""


Outcome = Won | Lost | RepeatLeg | BeginStep | GoOn


def settle_attempt(
    course: Course,
    spec: JobSpec,
    attempt: AttemptId,
    ended: Ended,
    *,
    now_ms: int,
    jitter: float,
    up: Sequence[RegionName],
) -> tuple[Course, Outcome]:
    """Record an attempt's end and decide what follows for the job; arguments as in ``settling.settle``."""
    step = course.step_of(attempt)
    if step is None:
        return course, GoOn()
    run, decision = settle(
        course.run_of(step),
        spec.steps[step],
        attempt,
        ended,
        now_ms=now_ms,
        jitter=jitter,
        up=up,
        handed_on=codes_after(course, spec, step),
    )
    return _follow(with_run(course, step, run), spec, step, decision, now_ms)


def give_up_leg(
    course: Course, spec: JobSpec, step: int, leg: int, failure: Failure, now_ms: int
) -> tuple[Course, Outcome]:
    """A leg that waits can't be sent: decide what follows for the job."""
    run, decision = give_up(course.run_of(step), spec.steps[step], leg, failure)
    return _follow(with_run(course, step, run), spec, step, decision, now_ms)


def _follow(
    course: Course, spec: JobSpec, step: int, decision: Decision, now_ms: int
) -> tuple[Course, Outcome]:
    match decision:
        case Succeed(leg, response):
            region = course.run_of(step).legs[leg].region
            return abandon_course(course, now_ms), Won(step, Answer(region, response))
        case Fail():
            return _after_failure(course, spec, step, decision, now_ms)
        case Repeat(leg, spends):
            return course, RepeatLeg(step, leg, spends)
        case Await():
            return course, GoOn()


def _after_failure(
    course: Course, spec: JobSpec, step: int, fail: Fail, now_ms: int
) -> tuple[Course, Outcome]:
    if fail.failure.code is FailureCode.UNKNOWN_OUTCOME:
        return abandon_course(course, now_ms), Lost(step, fail.failure, fail.answer)
    # Any leg's end counts, whichever came first: those of a race come in any order.
    run = course.run_of(step)
    codes = {answer.response.status for answer in run.answers}
    timed_out = any(a.verdict is Verdict.END and a.fault in TIMEOUTS for a in run.attempts)
    following = next_step(course, spec, step, codes, timed_out=timed_out)
    if following is not None:
        return begin_step(course, spec, following), BeginStep(following)
    if any(course.is_running(other) for other in range(len(course.runs))):
        return course, GoOn()
    return course, Lost(step, fail.failure, fail.answer)
