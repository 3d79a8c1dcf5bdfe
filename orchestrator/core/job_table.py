"""The supervisors of a shard: one for each job under way, found by the job's name."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from orchestrator.core.job_cache import JobCache
from orchestrator.core.job_reader import JobReader, damaged
from orchestrator.core.step_orders import target_of
from orchestrator.core.supervisor import JobSupervisor
from orchestrator.core.supervisor_context import SupervisorContext
from orchestrator.domain.course import (
    PRIMARY,
    Course,
    begin_course,
    lose_all_steps,
    open_in_course,
    step_of,
)
from orchestrator.domain.exchange import Fault
from orchestrator.domain.ids import JobId, TargetDomain
from orchestrator.domain.job import Guarantee, Job
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.marks import Mark, Owner, surely_unsent, with_mark
from orchestrator.domain.run import Attempt
from orchestrator.domain.settling import Ended, Failure, FailureCode
from orchestrator.ports.store import StoredJob
from orchestrator.ports.targets import AttemptEnded, Late, Placed, RegionsGone, Shut, Started, Turn

CRASHES_MOST = 3
_LOST = Ended(None, Fault.LOST, "the service stopped while the request was under way")


class JobTable:
    """``Jobs`` whose supervisors are in this process.

    Args:
        context: What the supervisors share.
        reader: Reads jobs back from disk.
    """

    _owner_of: Callable[[TargetDomain], Owner | None]

    def __init__(self, context: SupervisorContext, reader: JobReader) -> None:
        self._context = context
        self._reader = reader
        self._supervisors: dict[JobId, JobSupervisor] = {}
        self._closing: dict[JobId, JobSupervisor] = {}
        """Of jobs whose end is on disk, and whose losers have not all reported their close."""
        self._fresh = JobCache()
        self._loading: dict[JobId, asyncio.Future[None]] = {}

    def begin(self, owner_of: Callable[[TargetDomain], Owner | None]) -> None:
        """Begin a life of the shard; ``owner_of`` says who has a target, None where that is not known."""
        self._owner_of = owner_of

    def __len__(self) -> int:
        """Count the jobs that are under way."""
        return len(self._supervisors)

    def __iter__(self) -> Iterator[JobSupervisor]:
        """Give the supervisors of the jobs that are under way."""
        return iter(self._supervisors.values())

    @property
    def closing(self) -> int:
        """Count the jobs that have ended, and of which attempts are still to be closed."""
        return len(self._closing)

    @property
    def ends_unsaved(self) -> bool:
        """Whether a job has ended, and that is not on disk yet."""
        return any(supervisor.state.ended for supervisor in self)

    def find(self, job_id: JobId) -> JobSupervisor | None:
        """Find the supervisor of a job that is under way."""
        return self._supervisors.get(job_id)

    def accepted(self, job: Job) -> None:
        """Hold a job that will soon have its turn."""
        self._fresh.put(job)

    def forget(self, job_id: JobId) -> None:
        """A job's end is on disk."""
        supervisor = self._supervisors.pop(job_id, None)
        if supervisor is not None and not supervisor.closed:
            self._closing[job_id] = supervisor

    async def take_up(self, job_id: JobId) -> JobSupervisor | None:
        """Supervise a job that waits; None where it has ended. All who ask get the same one."""
        while (loading := self._loading.get(job_id)) is not None:
            await asyncio.wait([loading])
        if (supervisor := self._supervisors.get(job_id)) is not None:
            return supervisor
        if (job := self._fresh.take(job_id)) is None:
            job = await self._load(job_id)
            # Where it was admitted meanwhile, it would be taken from there once more after its end.
            self._fresh.take(job_id)
        return None if job is None else self._supervise(job)

    def recover(self, stored: StoredJob, damage: str | None, mark: Mark | None) -> None:
        """Go on with a job that a restart found running; ``mark`` is its latest."""
        if damage or stored.damage:
            self._fail_damaged(stored, damage)
        else:
            self._resume(stored, mark)

    async def save_open(self) -> None:
        """Save what is still under way as lost by an orderly stop."""
        # Where one of these fails, the next start takes this stop for a crash, and nothing worse.
        await asyncio.gather(*map(self._let_go, self), return_exceptions=True)

    def turn(self, turn: Turn) -> None:
        """A leg has its turn."""
        job_id = turn.ticket.job_id
        supervisor = self._supervisors.get(job_id)
        if supervisor is None and job_id not in self._loading:
            fresh = self._fresh.take(job_id)
            supervisor = None if fresh is None else self._supervise(fresh)
        if supervisor is None:
            self._context.spawn(self._load_and_turn(turn))
        else:
            self._give_turn(supervisor, turn)

    def placed(self, placed: Placed) -> None:
        """An attempt is to be sent."""
        self._supervisors[placed.job].placed(placed)

    def started(self, started: Started) -> None:
        """An attempt's first byte was written."""
        supervisor = self._heard_of(started.job)
        if supervisor is not None:
            supervisor.attempt_started(started)

    def ended(self, ended: AttemptEnded) -> None:
        """An attempt is over."""
        supervisor = self._heard_of(ended.job)
        if supervisor is not None:
            supervisor.attempt_ended(ended.attempt, ended.ended, ended.healthy)
            if self._closing and supervisor.closed:
                self._closing.pop(ended.job, None)

    def late(self, late: Late) -> None:
        """A hedge may want a further leg."""
        if (supervisor := self._supervisors.get(late.job)) is not None:
            supervisor.attempt_late(late)

    def shut(self, shut: Shut) -> bool:
        """A step may go on elsewhere; say whether it did at once."""
        supervisor = self._supervisors.get(shut.job)
        if supervisor is None:
            self._context.spawn(self._load_and_leave(shut))
            return False
        return supervisor.leave_shut(shut.step, shut.cause)

    def gone(self, gone: RegionsGone) -> None:
        """A leg can't run."""
        if (supervisor := self._supervisors.get(gone.job)) is not None:
            supervisor.give_up(gone)

    def _heard_of(self, job_id: JobId) -> JobSupervisor | None:
        return self._supervisors.get(job_id) or self._closing.get(job_id)

    def _give_turn(self, supervisor: JobSupervisor, turn: Turn) -> None:
        supervisor.turn(turn)
        self._lay_down(supervisor)

    async def _load_and_turn(self, turn: Turn) -> None:
        supervisor = await self.take_up(turn.ticket.job_id)
        if supervisor is None:
            self._context.targets.pass_up(turn)
        else:
            self._give_turn(supervisor, turn)

    async def _load_and_leave(self, shut: Shut) -> None:
        supervisor = await self.take_up(shut.job)
        if supervisor is not None and not supervisor.leave_shut(shut.step, shut.cause):
            self._lay_down(supervisor)

    def _lay_down(self, supervisor: JobSupervisor) -> None:
        """Hold none that has done nothing yet: it is made anew when its job's turn comes again."""
        job = supervisor.job
        if supervisor.untouched and job.id in self._supervisors:
            del self._supervisors[job.id]
            self._fresh.put(job)

    async def _load(self, job_id: JobId) -> Job | None:
        loaded = self._loading[job_id] = asyncio.get_running_loop().create_future()
        try:
            stored = await self._reader.read(job_id)
        finally:
            del self._loading[job_id]
            loaded.set_result(None)
        if stored is not None and stored.damage is not None:
            self._fail_damaged(stored)
            return None
        return None if stored is None else stored.job

    def _supervise(self, job: Job) -> JobSupervisor:
        return self._add(job, JobState.QUEUED, begin_course(job.spec))

    def _add(self, job: Job, state: JobState, course: Course) -> JobSupervisor:
        supervisor = self._supervisors[job.id] = JobSupervisor(self._context, job, state, course)
        return supervisor

    def _fail_damaged(self, stored: StoredJob, damage: str | None = None) -> None:
        """End a job whose request can be read, and something else not: its receivers are told."""
        failure = damaged(stored.job.id, damage or stored.damage or "")
        course = stored.course or begin_course(stored.job.spec)
        self._add(stored.job, stored.state, course).fail(failure)

    def _resume(self, stored: StoredJob, mark: Mark | None) -> None:
        job, course = stored.job, stored.course or begin_course(stored.job.spec)
        if job.spec.guarantee is Guarantee.AT_MOST_ONCE:
            course = self._judge_by_mark(job, course, mark)
        else:
            course = lose_all_steps(course, crashed=True)
        supervisor = self._add(job, JobState.RUNNING if course.made else stored.state, course)
        if course.crashes >= CRASHES_MOST:
            died = f"the service died {course.crashes} times while it ran"
            supervisor.fail(Failure(FailureCode.POISON, died))
            return
        for attempt in open_in_course(course):
            supervisor.attempt_ended(attempt.id, _LOST)
        supervisor.resume()

    def _judge_by_mark(self, job: Job, course: Course, mark: Mark | None) -> Course:
        """Let what was surely not sent wait again; whatever else is open may have been."""
        course = with_mark(course, job.spec, mark, self._context.clock.unix_ms())
        owner = self._owner_of_target(job, course, open_in_course(course))
        if surely_unsent(course, mark, owner):
            return lose_all_steps(course, crashed=False, written=False)
        return course

    def _owner_of_target(self, job: Job, course: Course, attempts: Sequence[Attempt]) -> Owner | None:
        """Find who has the target of what is open: what may be sent once has one attempt at a time."""
        steps = {step_of(course, attempt.id) for attempt in attempts}
        return self._owner_of(target_of(job, steps.pop() or PRIMARY)) if len(steps) == 1 else None

    async def _let_go(self, supervisor: JobSupervisor) -> None:
        """What may be sent once only stays as it is: the next start has to know that it was."""
        job, course = supervisor.job, supervisor.course
        repeats = job.spec.guarantee is not Guarantee.AT_MOST_ONCE
        if repeats and open_in_course(course) and not supervisor.state.ended:
            lost = lose_all_steps(course, crashed=False)
            await self._context.store.save_course(job.id, job.customer, supervisor.state, lost)
