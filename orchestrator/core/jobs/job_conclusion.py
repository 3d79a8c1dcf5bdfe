"""A job's end: its result is written, and its children are born, in one transaction."""

from collections.abc import Sequence

from msgspec.structs import replace

from orchestrator.core.jobs.ending import children_of, ending_of, known_children, out_of_time, with_children
from orchestrator.core.jobs.job_legs import JobLegs
from orchestrator.core.jobs.result_writer import UnsavedResult
from orchestrator.core.jobs.step_orders import withdrawals
from orchestrator.domain.execution.course import abandon_course
from orchestrator.domain.execution.course_answers import without_answers
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.jobs.lifecycle import JobEvent, advance
from orchestrator.ports.store import Accepted, Duplicate


class JobConclusion(JobLegs):
    """A job under way, as far as it can end."""

    __slots__ = ()

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
        step, answer = self.course.last_seen
        self._conclude(event, step, answer, failure)

    def time_out(self) -> None:
        """The job's time is over."""
        self.fail(out_of_time(self.job))

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
        self._context.ended(self.job, ending, spawned)

    def _note_known(self, taken: Sequence[Accepted | Duplicate]) -> None:
        self.course = replace(self.course, children=known_children(self.course.children, taken))
        self._context.store.note_timeline(self.job.id, self.job.customer, without_answers(self.course))
