"""A job's course: its own request and its fallbacks, each a run of its own once it has begun.

A fallback is a step of the same job. Which one begins is told in ``fallbacks``, and what an attempt's end
means for the job in ``outcomes``.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.execution.run import (
    NOWHERE,
    Answer,
    Attempt,
    Run,
    Site,
    abandon,
    add_hedge,
    begin,
    dispatch,
    find_attempt,
    lose_all,
    open_attempts,
)
from orchestrator.domain.execution.settling import answer_to_show
from orchestrator.domain.ids import AttemptId, JobId, RegionName
from orchestrator.domain.jobs.job import JobSpec

PRIMARY = 0


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

    @property
    def named_attempts(self) -> list[tuple[str, Attempt]]:
        """Every attempt that is kept, in order, each with the name of its step."""
        begun = [(step_name(step), run) for step, run in enumerate(self.runs) if run is not None]
        return sorted(
            ((step, attempt) for step, run in begun for attempt in run.attempts),
            key=lambda found: found[1].number,
        )

    @property
    def open_attempts(self) -> list[Attempt]:
        """Attempts whose end is not known, over all steps."""
        return [attempt for run in self.runs if run is not None for attempt in open_attempts(run)]

    @property
    def last_seen(self) -> tuple[int, Answer | None]:
        """What a job shows that ends before any step has failed or won, and the step that it came from."""
        begun = [(step, run) for step, run in enumerate(self.runs) if run is not None]
        seen = [(step, answer) for step, run in begun if (answer := answer_to_show(run))]
        return seen[-1] if seen else (PRIMARY, None)

    def run_of(self, step: int) -> Run:
        """Give the run of a step that has begun.

        Raises:
            ValueError: It has not.
        """
        run = self.runs[step]
        if run is None:
            msg = f"step {step} has not begun"
            raise ValueError(msg)
        return run

    def step_of(self, attempt: AttemptId) -> int | None:
        """Find the step that an attempt belongs to."""
        for step, run in enumerate(self.runs):
            if run is not None and find_attempt(run, attempt) is not None:
                return step
        return None

    def is_running(self, step: int) -> bool:
        """Whether a step has begun and is not over."""
        run = self.runs[step]
        return run is not None and not all(leg.state.over for leg in run.legs)

    def first_start_ms(self, step: int) -> int | None:
        """Say when a step's first request began (Unix ms)."""
        run = self.runs[step]
        starts = [a.started_ms for a in run.attempts if a.started_ms is not None] if run else []
        return min(starts, default=None)


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
    run, record = dispatch(course.run_of(step), leg, attempt, region, now_ms, course.made + 1, at)
    return with_run(course, step, run), record


def with_attempt(course: Course, attempt: AttemptId, change: Callable[[Run], Run]) -> Course:
    """Apply a change to the run that an attempt belongs to; an unknown one changes nothing."""
    step = course.step_of(attempt)
    return course if step is None else with_run(course, step, change(course.run_of(step)))


def hedge_step(course: Course, spec: JobSpec, step: int) -> tuple[Course, int | None]:
    """Plan one more leg of a step: see ``run.add_hedge``."""
    run, leg = add_hedge(course.run_of(step), spec.steps[step])
    return with_run(course, step, run), leg


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


def step_name(step: int) -> str:
    """Name a step as webhooks do."""
    return "primary" if step == PRIMARY else f"fallback_{step}"


def with_run(course: Course, step: int, run: Run) -> Course:
    """Put a run in the place of a step's."""
    if run is course.runs[step]:
        return course
    return replace(course, runs=(*course.runs[:step], run, *course.runs[step + 1 :]))
