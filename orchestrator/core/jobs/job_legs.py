"""A job's legs: they wait at their targets and go out, and the lateness of one step begins the next."""

from orchestrator.core.jobs.job_timers import JobTimers
from orchestrator.core.jobs.step_orders import claim_of, target_of
from orchestrator.core.jobs.supervisor_context import SupervisorContext
from orchestrator.domain.execution.course import (
    Course,
    begin_course,
    begin_step,
    dispatch_leg,
    hedge_step,
    with_run,
)
from orchestrator.domain.execution.fallbacks import timeout_after
from orchestrator.domain.execution.run import note_start, repeats_in_ms, waiting_legs
from orchestrator.domain.ids import AttemptId, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobEvent, JobState, advance
from orchestrator.domain.waiting import still_to_wait_ms
from orchestrator.ports.targets import Late, Placed, Started


class JobLegs:
    """A job under way, as far as its legs go.

    Args:
        context: What the supervisors of a shard share.
        job: Whose legs they are.
        state: Where it stands.
        course: How it has gone so far.
        size: Bytes that its spec takes in memory.
    """

    __slots__ = (
        "_context",
        "_kept",
        "_unclosed",
        "bare",
        "course",
        "job",
        "size",
        "state",
        "timers",
    )

    def __init__(
        self, context: SupervisorContext, job: Job, state: JobState, course: Course, size: int
    ) -> None:
        self._context = context
        self._unclosed: set[AttemptId] = set()
        """Attempts that were placed, and whose close nobody has told of."""
        self._kept = 0
        """Bytes that are counted for the answers which the course keeps."""
        self.timers = JobTimers(context.clock)
        self.job = job
        self.size = size
        """Bytes that it is counted as in memory."""
        self.bare = False
        """Whether the job is held without its bodies, which are large."""
        self.state = state
        self.course = course

    @property
    def closed(self) -> bool:
        """Whether nothing more is heard of any attempt."""
        return not self._unclosed

    @property
    def targets(self) -> list[TargetDomain]:
        """Name the targets of the steps that have begun."""
        return [target_of(self.job, step) for step, run in enumerate(self.course.runs) if run is not None]

    @property
    def untouched(self) -> bool:
        """Whether nothing has happened to the job yet that its spec does not say."""
        return self.state is JobState.QUEUED and self.course == begin_course(self.job.spec)

    @property
    def can_sleep(self) -> bool:
        """Whether all that the job waits for outlives its supervisor: its turns, and times of the clock."""
        return self.state is JobState.RUNNING and not self._unclosed and not self.course.open_attempts

    def go_on(self, timers: JobTimers) -> None:
        """Go on where an earlier supervisor of this life fell asleep."""
        self.timers = timers
        self._keep()

    def lie_down(self) -> None:
        """Leave all to disk: another supervisor goes on."""
        self._context.kept_answers.forget(self.job.customer, self._kept)

    def resume(self) -> None:
        """Queue again what a restart found waiting."""
        self._keep()
        for step, run in enumerate(self.course.runs):
            if run is None or self.state.ended:
                continue
            self._watch_for_lateness(step)
            waiting = waiting_legs(run)
            for leg in waiting if run.made else waiting[:1]:
                self._queue(step, leg)

    def placed(self, placed: Placed) -> None:
        """A leg has its permit and its region: write that down, and let its attempt be sent."""
        now_ms = self._context.clock.unix_ms()
        self.course, attempt = dispatch_leg(
            self.course, placed.step, placed.leg, placed.attempt, placed.region, now_ms, placed.at
        )
        if self.state is JobState.QUEUED:
            self.state = advance(self.state, JobEvent.DISPATCHED)
        self._note()
        self._unclosed.add(attempt.id)
        if not self.bare:
            self._context.send(self.job, placed.step, attempt)

    def send_late(self, placed: Placed) -> None:
        """Send what was placed while the bodies were on disk, unless it is over by now."""
        for attempt in () if self.state.ended else self.course.open_attempts:
            if attempt.id == placed.attempt:
                self._context.send(self.job, placed.step, attempt)

    def set_bodies_aside(self) -> bool:
        """Hold no large bodies, for nothing is sent just now; say whether there were any. What has ended soon
        goes as it is.
        """
        if self.bare or self.state.ended:
            return False
        whole, self.job = self.job, self._context.bodies.set_aside(self.job)
        self.bare = self.job is not whole
        return self.bare

    def take_held_bodies(self) -> bool:
        """Have the bodies again where they need not be read; say whether there is nothing to read."""
        if not self.bare or self.state.ended:
            return True
        whole = self._context.bodies.held(self.job.id)
        if whole is not None:
            self._have(whole)
        return not self.bare

    def _have(self, whole: Job) -> None:
        self.job, self.bare = whole, False

    def attempt_started(self, started: Started) -> None:
        """An attempt's first byte was written."""
        run = note_start(self.course.run_of(started.step), started.attempt, started.started_ms)
        self.course = with_run(self.course, started.step, run)
        if self.job.spec.fallback is not None:
            self._watch_for_lateness(started.step)

    def step_late(self, step: int) -> None:
        """Begin the fallback that waited for a step to be late."""
        following = timeout_after(self.course, self.job.spec, step)
        if not self.state.ended and self.course.is_running(step) and following is not None:
            self.course = begin_step(self.course, self.job.spec, following[0])
            self._note()
            self._queue(following[0], 0)

    def attempt_late(self, late: Late) -> None:
        """A hedge's attempt is late: let another region try, if nobody else wants the permit."""
        if self.state.ended or all(still.id != late.attempt for still in self.course.open_attempts):
            return
        self.course, leg = hedge_step(self.course, self.job.spec, late.step)
        if leg is not None:
            self._note()
            self._enqueue(late.step, leg)

    def _keep(self) -> None:
        """Keep of the answers so far what there is room for."""
        self.course, self._kept = self._context.kept_answers.keep(self.job.customer, self.course, self._kept)

    def _queue(self, step: int, leg: int, *, spends: bool = False) -> None:
        delay_s = repeats_in_ms(self.course.run_of(step), leg, self._context.clock.unix_ms()) / 1000
        if delay_s <= 0:
            self._enqueue(step, leg, spends=spends)
        else:
            targets, claim = self._context.targets, claim_of(self.job, self.course, step, leg)
            self.timers.after(delay_s, (step, leg), lambda: targets.line_up(claim, spends=spends))

    def _enqueue(self, step: int, leg: int, *, spends: bool = False) -> None:
        self._context.targets.line_up(claim_of(self.job, self.course, step, leg), spends=spends)

    def _watch_for_lateness(self, step: int) -> None:
        """Begin the fallback that waits for this step to be late, when it is."""
        following = timeout_after(self.course, self.job.spec, step)
        started_ms = self.course.first_start_ms(step)
        if following is None or started_ms is None:
            return
        left_ms = still_to_wait_ms(started_ms + following[1], started_ms, self._context.clock.unix_ms())
        late, job_id = self._context.late, self.job.id
        self.timers.after(left_ms / 1000, step, lambda: late(job_id, step))

    def _note(self) -> None:
        self._context.moved(self.job.id)
        self._context.store.note_course(self.job.id, self.job.customer, self.state, self.course)
