"""What a restart does with jobs that it finds running, and what an orderly stop leaves for it."""

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.core.jobs.job_table import JobTable
from orchestrator.core.jobs.step_orders import target_of
from orchestrator.core.jobs.supervisor import JobSupervisor
from orchestrator.core.jobs.supervisor_context import SupervisorContext
from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.course import PRIMARY, Course, begin_course, lose_all_steps
from orchestrator.domain.execution.marks import Mark, Owner, surely_unsent, with_mark
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.execution.settling import Ended, Failure, FailureCode
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.jobs.job import Job, held_bytes
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import StoredJob

CRASHES_MOST = 3
_LOST = Ended(None, Fault.LOST, "the service stopped while the request was under way")


class JobRecovery:
    """Takes up jobs where an earlier life of the shard left them.

    Args:
        context: What supervisors share.
        table: Holds them.
    """

    _owner_of: Callable[[TargetDomain], Owner | None]

    def __init__(self, context: SupervisorContext, table: JobTable) -> None:
        self._context = context
        self._table = table

    def begin(self, owner_of: Callable[[TargetDomain], Owner | None]) -> None:
        """Begin a life of the shard; ``owner_of`` says who has a target, None where that is not known."""
        self._owner_of = owner_of

    def recover(self, stored: StoredJob, damage: str | None, mark: Mark | None) -> None:
        """Go on with a job that a restart found running; ``mark`` is its latest."""
        if damage or stored.damage:
            self._table.fail_damaged(stored, damage)
        else:
            self._resume(stored, mark)

    async def save_open(self) -> None:
        """Save what is still under way as lost by an orderly stop."""
        # Where one of these fails, the next start takes this stop for a crash, and nothing worse.
        await asyncio.gather(*map(self._let_go, self._table), return_exceptions=True)

    def _resume(self, stored: StoredJob, mark: Mark | None) -> None:
        job, course = stored.job, stored.course or begin_course(stored.job.spec)
        if job.spec.guarantee.once:
            course = self._judge_by_mark(job, course, mark)
        else:
            course = lose_all_steps(course, crashed=True)
        state, size = JobState.RUNNING if course.made else stored.state, held_bytes(job.spec)
        supervisor = self._table.supervise(job, state, course, size)
        if course.crashes >= CRASHES_MOST:
            died = f"the service died {course.crashes} times while it ran"
            supervisor.fail(Failure(FailureCode.POISON, died))
            return
        for attempt in course.open_attempts:
            supervisor.attempt_ended(attempt.id, _LOST)
        supervisor.resume()
        self._table.lay_down(supervisor)

    def _judge_by_mark(self, job: Job, course: Course, mark: Mark | None) -> Course:
        """Let what was surely not sent wait again; whatever else is open may have been."""
        course = with_mark(course, job.spec, mark, self._context.clock.unix_ms())
        owner = self._owner_of_target(job, course, course.open_attempts)
        if surely_unsent(course, mark, owner):
            return lose_all_steps(course, crashed=False, written=False)
        return course

    def _owner_of_target(self, job: Job, course: Course, attempts: Sequence[Attempt]) -> Owner | None:
        """Find who has the target of what is open: what may be sent once has one attempt at a time."""
        steps = {course.step_of(attempt.id) for attempt in attempts}
        return self._owner_of(target_of(job, steps.pop() or PRIMARY)) if len(steps) == 1 else None

    async def _let_go(self, supervisor: JobSupervisor) -> None:
        """What may be sent once only stays as it is: the next start has to know that it was."""
        job, course = supervisor.job, supervisor.course
        repeats = not job.spec.guarantee.once
        if repeats and course.open_attempts and not supervisor.state.ended:
            lost = lose_all_steps(course, crashed=False)
            await self._context.store.save_course(job.id, job.customer, supervisor.state, lost)
