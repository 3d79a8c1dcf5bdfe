"""A job's end: its result is written, and its children are born, in one transaction."""

from collections.abc import Sequence

from msgspec.structs import replace

from orchestrator.core.jobs.ending import children_of, ending_of, known_children, out_of_time, with_children
from orchestrator.core.jobs.job_legs import JobLegs
from orchestrator.core.jobs.large_bodies import spawns
from orchestrator.core.jobs.result_writer import UnsavedResult
from orchestrator.core.jobs.step_orders import withdrawals
from orchestrator.domain.execution.course import abandon_course
from orchestrator.domain.execution.course_answers import without_answers
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobEvent, JobState, advance
from orchestrator.domain.results.report import webhook_body
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
        self.timers.cancel_all()
        now_ms = self._context.clock.unix_ms()
        self.course = abandon_course(self.course, now_ms)
        result = self._context.results.begin(
            self.job, self.course, self.state, step=step, answer=answer, failure=failure
        )
        self._context.kept_answers.forget(self.job.customer, self._kept)
        if self.bare and spawns(self.job, self.state):
            self._context.spawn(self._commit_with_child(result, now_ms, failure))
        else:
            self._context.spawn(self._commit(self.job, result, now_ms, failure))

    async def read_bodies(self) -> None:
        """Have the bodies again; a job whose request can't be read any more ends.

        Raises:
            StoreFailure: The disk gives nothing just now.
        """
        if self.take_held_bodies():
            return
        found = await self._context.bodies.read(self.job.id)
        if isinstance(found, Failure):
            self.fail(found)
        elif not self.state.ended:
            self._have(found)

    async def _commit_with_child(self, result: UnsavedResult, now_ms: int, failure: Failure | None) -> None:
        """Save an end whose child has to be read first: memory has one such at a time."""
        if result.body is None:
            await result.write()
        async with self._context.bodies.ending.turn(self.job.customer):
            found = await self._context.bodies.read(self.job.id)
            if isinstance(found, Failure):
                await self._commit(self._without_child(result, found), result, now_ms, found)
            else:
                await self._commit(found, result, now_ms, failure)

    def _without_child(self, result: UnsavedResult, failure: Failure) -> Job:
        """A child can't be read any more: the job has not done what it was to do, even if its target did."""
        self.state, step = JobState.FAILED, self.course.last_seen[0]
        result.body = webhook_body(self.job, self.course, self.state, step=step, answer=None, failure=failure)
        return replace(self.job, spec=replace(self.job.spec, on_success=None, on_failure=None))

    async def _commit(self, whole: Job, result: UnsavedResult, now_ms: int, failure: Failure | None) -> None:
        body = result.body if result.body is not None else await result.write()
        traceparent = self._context.tracing.onward(self.job.id, self.job.traceparent)
        born = children_of(whole, self.state, now_ms, self._context.random, traceparent)
        self.course = with_children(self.course, born)
        # The course is read now, not when the job ended: a loser may have reported its close meanwhile.
        children = [job for _, job in born]
        ending = ending_of(self.job, self.state, self.course, body, now_ms, children, failure)
        taken = await self._context.store.end(ending)
        result.saved()
        if any(isinstance(child, Duplicate) for child in taken):
            self._note_known(taken)
        spawned = [child.job for child in taken if isinstance(child, Accepted)]
        self._context.ended(self.job, ending, spawned)

    def _note_known(self, taken: Sequence[Accepted | Duplicate]) -> None:
        self.course = replace(self.course, children=known_children(self.course.children, taken))
        self._context.store.note_timeline(self.job.id, self.job.customer, without_answers(self.course))
