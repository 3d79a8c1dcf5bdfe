"""One job's life: its legs go out, their ends come in, and the job is won, lost or tried again."""

from collections.abc import Sequence
from typing import assert_never

from msgspec.structs import replace

from orchestrator.core.ending import children_of, ending_of, known_children, out_of_time, with_children
from orchestrator.core.job_timers import JobTimers
from orchestrator.core.result_writer import UnsavedResult
from orchestrator.core.step_orders import (
    claim_of,
    run_order,
    send_order,
    target_of,
    withdrawal,
    withdrawals,
)
from orchestrator.core.supervisor_context import SupervisorContext
from orchestrator.domain.breaker import Cause
from orchestrator.domain.course import (
    Course,
    abandon_course,
    begin_course,
    begin_step,
    dispatch_leg,
    first_start_ms,
    hedge_step,
    is_running,
    last_seen,
    open_in_course,
    run_of,
    with_attempt,
    with_run,
)
from orchestrator.domain.course_answers import without_answers
from orchestrator.domain.fallbacks import leave_shut_step, timeout_after
from orchestrator.domain.ids import AttemptId, RegionName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.lifecycle import JobEvent, JobState, advance
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
from orchestrator.domain.run import (
    Answer,
    LegState,
    note_close,
    note_start,
    repeats_in_ms,
    waiting_legs,
)
from orchestrator.domain.settling import Ended, Failure, FailureCode
from orchestrator.domain.waiting import still_to_wait_ms
from orchestrator.ports.store import Accepted, Duplicate
from orchestrator.ports.targets import (
    Late,
    Placed,
    RegionsGone,
    Started,
    Turn,
)


class JobSupervisor:
    """Drives the pure rules of ``domain.course`` with what really happens."""

    __slots__ = ("_context", "_kept", "_timers", "_unclosed", "_watched", "course", "job", "state")

    def __init__(self, context: SupervisorContext, job: Job, state: JobState, course: Course) -> None:
        self._context = context
        self._unclosed: set[AttemptId] = set()
        """Attempts that were placed, and whose close nobody has told of."""
        self._watched: set[int] = set()
        self._kept = 0
        """Bytes that are counted for the answers which the course keeps."""
        self._timers = JobTimers(context.clock)
        self.job = job
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

    def turn(self, turn: Turn) -> None:
        """Use the turn of a leg, or pass it up."""
        step, leg = turn.ticket.step, turn.ticket.leg
        if self.state.ended or run_of(self.course, step).legs[leg].state is not LegState.WAITING:
            self._context.targets.pass_up(turn)
        elif self._context.over(self.job):
            self._context.targets.pass_up(turn)
            self.time_out()
        elif (step, leg) in self._timers:
            # An attempt that was lost while it waited for a permit has left this ticket behind.
            self._context.targets.pass_up(turn)
        else:
            self._context.targets.run(run_order(self.job, self.course, turn))

    def leave_shut(self, step: int, cause: Cause) -> bool:
        """Every way to the step's target is shut: go on to a fallback that waits for ``cause``, if one
        does; say so.
        """
        if self.state.ended or self.course.runs[step] is None:
            return False
        self.course, following = leave_shut_step(self.course, self.job.spec, step, cause)
        if following is None:
            return False
        self._note()
        # This may let out another step of the job, which may end it.
        self._context.targets.withdraw([withdrawal(self.job, self.course, step)])
        if not self.state.ended:
            self._queue(following, 0)
        return True

    def fail(self, failure: Failure) -> None:
        """End the job without success, whatever it was doing."""
        if not self.state.ended:
            self._give_in(JobEvent.GAVE_UP, failure)

    def cancel(self) -> bool:
        """End the job because its owner asked; say whether it was still open."""
        if self.state.ended:
            return False
        self._give_in(JobEvent.CANCEL, Failure(FailureCode.CANCELLED, "cancelled by its owner"))
        return True

    def _give_in(self, event: JobEvent, failure: Failure) -> None:
        step, answer = last_seen(self.course)
        self._conclude(event, step, answer, failure)

    def time_out(self) -> None:
        """The job's time is over."""
        self.fail(out_of_time(self.job))

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
        traceparent = self._context.tracing.onward(self.job.id, self.job.traceparent, attempt.number)
        self._context.targets.send(send_order(self.job, placed.step, attempt, traceparent))

    def attempt_started(self, started: Started) -> None:
        """An attempt's first byte was written."""
        run = note_start(run_of(self.course, started.step), started.attempt, started.started_ms)
        self.course = with_run(self.course, started.step, run)
        if self.job.spec.fallback is not None:
            self._watch_for_lateness(started.step)

    def attempt_late(self, late: Late) -> None:
        """A hedge's attempt is late: let another region try, if nobody else wants the permit."""
        if self.state.ended or all(still.id != late.attempt for still in open_in_course(self.course)):
            return
        self.course, leg = hedge_step(self.course, self.job.spec, late.step)
        if leg is not None:
            self._note()
            self._enqueue(late.step, leg)

    def attempt_ended(self, attempt: AttemptId, ended: Ended, healthy: Sequence[RegionName] = ()) -> None:
        """An attempt is over: decide what follows. It may go on in a region that is ``healthy``."""
        self._unclosed.discard(attempt)
        if self.state.ended:
            closed_ms = self._context.clock.unix_ms()
            self.course = with_attempt(self.course, attempt, lambda run: note_close(run, attempt, closed_ms))
            self._context.store.note_timeline(self.job.id, self.job.customer, without_answers(self.course))
            return
        self.course, outcome = settle_attempt(
            self.course,
            self.job.spec,
            attempt,
            ended,
            now_ms=self._context.clock.unix_ms(),
            jitter=self._context.random.random(),
            up=healthy,
        )
        self._follow(outcome)

    def give_up(self, gone: RegionsGone) -> None:
        """A leg can't run where it may: end it."""
        message = f"{', '.join(gone.regions)} down for {gone.down_s:g} s"
        failure, now_ms = Failure(FailureCode.REGIONS_DOWN, message), self._context.clock.unix_ms()
        self.course, outcome = give_up_leg(self.course, self.job.spec, gone.step, gone.leg, failure, now_ms)
        self._follow(outcome)
        run = run_of(self.course, gone.step)
        if not self.state.ended and not run.made:
            for sibling in waiting_legs(run)[:1]:
                self._queue(gone.step, sibling)

    def _follow(self, outcome: Outcome) -> None:
        match outcome:
            case Won(step, answer):
                self._conclude(JobEvent.SUCCEEDED, step, answer, None)
            case Lost(step, failure, last):
                self._conclude(JobEvent.GAVE_UP, step, last, failure)
            case RepeatLeg(step, leg, spends):
                self._keep()
                self._note()
                self._queue(step, leg, spends=spends)
            case BeginStep(step):
                self._keep()
                self._note()
                self._queue(step, 0)
            case GoOn():
                self._keep()
                self._note()
            case _:
                assert_never(outcome)

    def _keep(self) -> None:
        """Keep of the answers so far what there is room for."""
        self.course, self._kept = self._context.kept_answers.keep(self.job.customer, self.course, self._kept)

    @property
    def untouched(self) -> bool:
        """Whether nothing has happened to the job yet that its spec does not say."""
        return self.state is JobState.QUEUED and self.course == begin_course(self.job.spec)

    def _queue(self, step: int, leg: int, *, spends: bool = False) -> None:
        delay_s = repeats_in_ms(run_of(self.course, step), leg, self._context.clock.unix_ms()) / 1000
        if delay_s <= 0:
            self._enqueue(step, leg, spends=spends)
        else:
            self._timers.after(delay_s, (step, leg), lambda: self._enqueue(step, leg, spends=spends))

    def _enqueue(self, step: int, leg: int, *, spends: bool = False) -> None:
        self._context.targets.line_up(claim_of(self.job, self.course, step, leg), spends=spends)

    def _watch_for_lateness(self, step: int) -> None:
        """Begin the fallback that waits for this step to be late, when it is."""
        following = timeout_after(self.course, self.job.spec, step)
        started_ms = first_start_ms(self.course, step)
        if following is None or started_ms is None or step in self._watched:
            return
        self._watched.add(step)
        left_ms = still_to_wait_ms(started_ms + following[1], started_ms, self._context.clock.unix_ms())
        self._timers.after(left_ms / 1000, step, lambda: self._late(step, following[0]))

    def _late(self, step: int, following: int) -> None:
        if not self.state.ended and is_running(self.course, step) and self.course.runs[following] is None:
            self.course = begin_step(self.course, self.job.spec, following)
            self._note()
            self._queue(following, 0)

    def _conclude(self, event: JobEvent, step: int, answer: Answer | None, failure: Failure | None) -> None:
        self.state = advance(self.state, event)
        self._context.targets.withdraw(withdrawals(self.job, self.course))
        self._timers.cancel_all()
        now_ms = self._context.clock.unix_ms()
        self.course = abandon_course(self.course, now_ms)
        result = self._context.results.begin(
            self.job, self.course, self.state, step=step, answer=answer, failure=failure
        )
        self._context.kept_answers.forget(self.job.customer, self._kept)
        self._context.spawn(self._commit(result, now_ms, failure))

    async def _commit(self, result: UnsavedResult, now_ms: int, failure: Failure | None) -> None:
        body = result.body if result.body is not None else await result.write()
        traceparent = self._context.tracing.onward(self.job.id, self.job.traceparent)
        born = children_of(self.job, self.state, now_ms, self._context.random, traceparent)
        self.course = with_children(self.course, born)
        # The course is read now, not when the job ended: a loser may have reported its close meanwhile.
        spawns = [job for _, job in born]
        ending = ending_of(self.job, self.state, self.course, body, now_ms, spawns, failure)
        taken = await self._context.store.end(ending)
        result.saved()
        if any(isinstance(child, Duplicate) for child in taken):
            self._note_known(taken)
        spawned = [child.job for child in taken if isinstance(child, Accepted)]
        self._context.ended(self, ending, spawned)

    def _note_known(self, taken: Sequence[Accepted | Duplicate]) -> None:
        self.course = replace(self.course, children=known_children(self.course.children, taken))
        self._context.store.note_timeline(self.job.id, self.job.customer, without_answers(self.course))

    def _note(self) -> None:
        self._context.moved(self.job.id)
        self._context.store.note_course(self.job.id, self.job.customer, self.state, self.course)
