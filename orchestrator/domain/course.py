"""A job's course: its own request and its fallbacks, each a run of its own once it has begun.

A fallback is a step of the same job. Which one begins depends on how the step before it went; the
first success of any step wins, and the job is lost when the last step that runs has failed.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.breaker import Cause
from orchestrator.domain.exchange import Fault, cut_answer
from orchestrator.domain.ids import AttemptId, JobId, RegionName
from orchestrator.domain.job import JobSpec, TriggerKind
from orchestrator.domain.retry import Verdict
from orchestrator.domain.run import (
    NOWHERE,
    Answer,
    Attempt,
    LegState,
    Run,
    Site,
    abandon,
    add_hedge,
    begin,
    dispatch,
    find_attempt,
    leave,
    lose_all,
    open_attempts,
)
from orchestrator.domain.settling import (
    Await,
    Decision,
    Ended,
    Fail,
    Failure,
    FailureCode,
    Repeat,
    Succeed,
    answer_to_show,
    give_up,
    settle,
)

PRIMARY = 0
_TIMEOUTS = (Fault.TIMEOUT, Fault.CONNECT_TIMEOUT)


class Child(Struct, frozen=True):
    """A job that this one's end spawned. ``known``: its own key was known, so ``job_id`` is the first
    job with it, and nothing was run.
    """

    place: str
    job_id: JobId
    known: bool


class Course(Struct, frozen=True):
    """The runs of a job by step; None where a step has not begun."""

    runs: tuple[Run | None, ...]
    children: tuple[Child, ...] = ()

    @property
    def made(self) -> int:
        """Attempts made, over all steps."""
        return sum(run.made for run in self.runs if run is not None)

    @property
    def crashes(self) -> int:
        """The most crashes that any step has lived through."""
        return max((run.crashes for run in self.runs if run is not None), default=0)

    @property
    def written(self) -> bool:
        """Whether a target may have seen any attempt, kept or not."""
        return any(run.written for run in self.runs if run is not None)

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt that is kept, over all steps, in their order."""
        found = [attempt for run in self.runs if run is not None for attempt in run.attempts]
        return sorted(found, key=lambda attempt: attempt.number)


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


def without_answers(course: Course) -> Course:
    """Leave out the answers that were kept in case the job ended with them: they may be large."""
    runs = (run and replace(run, answers=(), last_seen=None) for run in course.runs)
    return replace(course, runs=tuple(runs))


def kept_bytes(course: Course) -> int:
    """Count the bytes of the answers that a course keeps."""
    return sum(answer.response.size for run in course.runs if run for answer in _kept(run))


def with_answers_cut(course: Course, most: int) -> Course:
    """Keep at most so many bytes of the body and of the headers of each answer that a course keeps."""

    def cut(answer: Answer) -> Answer:
        return replace(answer, response=cut_answer(answer.response, most))

    def cut_run(run: Run) -> Run:
        last = run.last_seen and cut(run.last_seen)
        return replace(run, answers=tuple(map(cut, run.answers)), last_seen=last)

    return replace(course, runs=tuple(run and cut_run(run) for run in course.runs))


def _kept(run: Run) -> Iterator[Answer]:
    yield from run.answers
    if run.last_seen is not None:
        yield run.last_seen


def begin_course(spec: JobSpec) -> Course:
    """Plan a job: its primary step begins, its fallbacks wait."""
    steps = spec.steps
    return Course((begin(steps[PRIMARY]), *(None for _ in steps[1:])))


def begin_step(course: Course, spec: JobSpec, step: int) -> Course:
    """Begin a fallback."""
    return with_run(course, step, begin(spec.steps[step]))


def dispatch_leg(
    course: Course,
    step: int,
    leg: int,
    attempt: AttemptId,
    region: RegionName,
    now_ms: int,
    at: Site = NOWHERE,
) -> tuple[Course, Attempt]:
    """Record that an attempt goes out, ``at`` a node; attempts are numbered per job."""
    run, record = dispatch(run_of(course, step), leg, attempt, region, now_ms, course.made + 1, at)
    return with_run(course, step, run), record


def step_of(course: Course, attempt: AttemptId) -> int | None:
    """Find the step that an attempt belongs to."""
    for step, run in enumerate(course.runs):
        if run is not None and find_attempt(run, attempt) is not None:
            return step
    return None


def with_attempt(course: Course, attempt: AttemptId, change: Callable[[Run], Run]) -> Course:
    """Apply a change to the run that an attempt belongs to; an unknown one changes nothing."""
    step = step_of(course, attempt)
    return course if step is None else with_run(course, step, change(run_of(course, step)))


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
    step = step_of(course, attempt)
    if step is None:
        return course, GoOn()
    run, decision = settle(
        run_of(course, step),
        spec.steps[step],
        attempt,
        ended,
        now_ms=now_ms,
        jitter=jitter,
        up=up,
        handed_on=_codes_after(course, spec, step),
    )
    return _follow(with_run(course, step, run), spec, step, decision, now_ms)


def give_up_leg(
    course: Course, spec: JobSpec, step: int, leg: int, failure: Failure, now_ms: int
) -> tuple[Course, Outcome]:
    """A leg that waits can't be sent: decide what follows for the job."""
    run, decision = give_up(run_of(course, step), spec.steps[step], leg, failure)
    return _follow(with_run(course, step, run), spec, step, decision, now_ms)


def leave_shut_step(course: Course, spec: JobSpec, step: int, cause: Cause) -> tuple[Course, int | None]:
    """Every breaker on the way to a step's target is open: go on to the fallback whose trigger matches
    what opened them, as if the target had answered so. Gives its step; None where the job has to wait.
    """
    run = run_of(course, step)
    busy = any(leg.state in (LegState.UNDER_WAY, LegState.WON) for leg in run.legs)
    if busy or _repeats_left(run, spec.steps[step], cause):
        return course, None
    following = _next_step(course, spec, step, {cause.status}, timed_out=cause.fault in _TIMEOUTS)
    if following is None:
        return course, None
    return begin_step(with_run(course, step, leave(run)), spec, following), following


def hedge_step(course: Course, spec: JobSpec, step: int) -> tuple[Course, int | None]:
    """Plan one more leg of a step: see ``run.add_hedge``."""
    run, leg = add_hedge(run_of(course, step), spec.steps[step])
    return with_run(course, step, run), leg


def timeout_after(course: Course, spec: JobSpec, step: int) -> tuple[int, int] | None:
    """Say which step begins when ``step`` is late, and how late in ms; None where none does."""
    for candidate, trigger in enumerate(spec.triggers[step:], step + 1):
        if course.runs[candidate] is not None:
            break
        if trigger.kind is TriggerKind.ON_TIMEOUT:
            return candidate, trigger.timeout_ms
    return None


def first_start_ms(course: Course, step: int) -> int | None:
    """Say when a step's first request began (Unix ms)."""
    run = course.runs[step]
    starts = [a.started_ms for a in run.attempts if a.started_ms is not None] if run else []
    return min(starts, default=None)


def is_running(course: Course, step: int) -> bool:
    """Whether a step has begun and is not over."""
    run = course.runs[step]
    return run is not None and not all(leg.state.over for leg in run.legs)


def abandon_course(course: Course, now_ms: int) -> Course:
    """End every leg of every step."""
    for step, run in enumerate(course.runs):
        if run is not None:
            course = with_run(course, step, abandon(run, now_ms))
    return course


def lose_all_steps(course: Course, *, crashed: bool, written: bool = True) -> Course:
    """The service ended: see ``run.lose_all``."""
    runs = (run and lose_all(run, crashed=crashed, written=written) for run in course.runs)
    return replace(course, runs=tuple(runs))


def last_seen(course: Course) -> tuple[int, Answer | None]:
    """Choose what a job shows that ends before any step has failed or won, and the step that it came from."""
    begun = [(step, run) for step, run in enumerate(course.runs) if run is not None]
    seen = [(step, answer) for step, run in begun if (answer := answer_to_show(run))]
    return seen[-1] if seen else (PRIMARY, None)


def open_in_course(course: Course) -> list[Attempt]:
    """Attempts whose end is not known, over all steps."""
    return [attempt for run in course.runs if run is not None for attempt in open_attempts(run)]


def step_name(step: int) -> str:
    """Name a step as webhooks do."""
    return "primary" if step == PRIMARY else f"fallback_{step}"


def attempts_in(course: Course) -> list[tuple[str, Attempt]]:
    """List every attempt that is kept, in order, each with the name of its step."""
    begun = [(step_name(step), run) for step, run in enumerate(course.runs) if run is not None]
    return sorted(
        ((step, attempt) for step, run in begun for attempt in run.attempts),
        key=lambda found: found[1].number,
    )


def _follow(
    course: Course, spec: JobSpec, step: int, decision: Decision, now_ms: int
) -> tuple[Course, Outcome]:
    match decision:
        case Succeed(leg, response):
            region = run_of(course, step).legs[leg].region
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
    run = run_of(course, step)
    codes = {answer.response.status for answer in run.answers}
    timed_out = any(a.verdict is Verdict.END and a.fault in _TIMEOUTS for a in run.attempts)
    following = _next_step(course, spec, step, codes, timed_out=timed_out)
    if following is not None:
        return begin_step(course, spec, following), BeginStep(following)
    if any(is_running(course, other) for other in range(len(course.runs))):
        return course, GoOn()
    return course, Lost(step, fail.failure, fail.answer)


def _next_step(
    course: Course, spec: JobSpec, step: int, codes: Collection[int | None], *, timed_out: bool
) -> int | None:
    """Find the first fallback after ``step`` whose trigger matches; a trigger that does not match
    passes the same outcome on to the fallback after it. What comes after one that has begun is judged by how
    that one goes.
    """
    for candidate, trigger in enumerate(spec.triggers[step:], step + 1):
        if course.runs[candidate] is not None:
            break
        if (
            trigger.kind is TriggerKind.ANY
            or (trigger.kind is TriggerKind.ON_ERROR and not trigger.codes.isdisjoint(codes))
            or (trigger.kind is TriggerKind.ON_TIMEOUT and timed_out)
        ):
            return candidate
    return None


def _repeats_left(run: Run, spec: JobSpec, cause: Cause) -> bool:
    """Whether the job's own policy lists the code, and is not spent."""
    policy = spec.retry_policy
    if policy is None or cause.status not in policy.retry_codes | policy.reroute_codes:
        return False
    rerouting = cause.status not in policy.retry_codes
    return run.retries < policy.max_retries or (rerouting and run.reroutes < policy.max_reroutes)


def _codes_after(course: Course, spec: JobSpec, step: int) -> frozenset[int]:
    codes: frozenset[int] = frozenset()
    for candidate, trigger in enumerate(spec.triggers[step:], step + 1):
        # What takes every failure, or has begun: what lies behind is never judged by how this step went.
        if trigger.kind is TriggerKind.ANY or course.runs[candidate] is not None:
            break
        codes |= trigger.codes
    return codes


def run_of(course: Course, step: int) -> Run:
    """Give the run of a step that has begun.

    Raises:
        ValueError: It has not.

    """
    run = course.runs[step]
    if run is None:
        msg = f"step {step} has not begun"
        raise ValueError(msg)
    return run


def with_run(course: Course, step: int, run: Run) -> Course:
    """Put a run in the place of a step's."""
    if run is course.runs[step]:
        return course
    return replace(course, runs=(*course.runs[:step], run, *course.runs[step + 1 :]))
