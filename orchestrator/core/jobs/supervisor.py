"""One job's life: its legs go out, their ends come in, and the job is won, lost or tried again."""

from collections.abc import Sequence
from typing import assert_never

from orchestrator.core.jobs.job_conclusion import JobConclusion
from orchestrator.core.jobs.step_orders import run_order, withdrawal
from orchestrator.domain.execution.course import with_attempt
from orchestrator.domain.execution.course_answers import without_answers
from orchestrator.domain.execution.fallbacks import leave_shut_step
from orchestrator.domain.execution.outcomes import (
    BeginStep,
    GoOn,
    Lost,
    Outcome,
    RepeatLeg,
    Won,
    give_up_leg,
    settle_attempt,
)
from orchestrator.domain.execution.run import LegState, note_close, waiting_legs
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.ids import AttemptId, RegionName
from orchestrator.domain.jobs.lifecycle import JobEvent
from orchestrator.ports.targets import RegionsGone, Turn


class JobSupervisor(JobConclusion):
    """Drives the pure rules of ``domain.execution.outcomes`` with what really happens."""

    __slots__ = ()

    def turn(self, turn: Turn) -> None:
        """Use the turn of a leg, or pass it up."""
        step, leg = turn.ticket.step, turn.ticket.leg
        if self.state.ended or self.course.run_of(step).legs[leg].state is not LegState.WAITING:
            self._context.targets.pass_up(turn)
        elif self._context.over(self.job):
            self._context.targets.pass_up(turn)
            self.time_out()
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
        now_ms = self._context.clock.unix_ms()
        self.course, outcome = give_up_leg(
            self.course, self.job.spec, gone.step, gone.leg, gone.failure, now_ms
        )
        self._follow(outcome)
        run = self.course.run_of(gone.step)
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
