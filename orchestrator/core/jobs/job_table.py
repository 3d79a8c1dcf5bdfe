"""The supervisors of a shard: one for each job under way, found by the job's name."""

import asyncio
from collections.abc import Callable, Iterator

from orchestrator.core.jobs.held_jobs import HeldJobs
from orchestrator.core.jobs.job_reader import JobReader, damaged
from orchestrator.core.jobs.supervisor import JobSupervisor
from orchestrator.core.jobs.supervisor_context import SupervisorContext
from orchestrator.domain.execution.course import Course, begin_course
from orchestrator.domain.ids import AttemptId, JobId
from orchestrator.domain.jobs.job import Job, held_bytes
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import StoredJob
from orchestrator.ports.targets import AttemptEnded, Late, Placed, RegionsGone, Shut, Started, Turn


class JobTable:
    """``Jobs`` whose supervisors are in this process.

    Args:
        context: What the supervisors share.
        reader: Reads jobs back from disk.
    """

    def __init__(self, context: SupervisorContext, reader: JobReader) -> None:
        self._context = context
        self._reader = reader
        self._supervisors: dict[JobId, JobSupervisor] = {}
        self._closing: dict[JobId, JobSupervisor] = {}
        """Of jobs whose end is on disk, and whose losers have not all reported their close."""
        self._fresh = context.bodies.fresh
        self._loading: dict[JobId, asyncio.Future[None]] = {}
        self._placing: set[AttemptId] = set()
        """Attempts of which jobs are told once they are read."""
        self._held = HeldJobs(context, self._supervisors)

    def __len__(self) -> int:
        """Count the jobs that are under way."""
        return len(self._supervisors)

    def __iter__(self) -> Iterator[JobSupervisor]:
        """Give the supervisors of the jobs that are under way."""
        return iter(self._supervisors.values())

    @property
    def held_bytes(self) -> int:
        """Count what jobs under way take in memory."""
        return self._held.used

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
        supervisor = self._held.forget(job_id)
        if supervisor is None:
            return
        if supervisor.bare:
            self._fresh.take(job_id)
        if not supervisor.closed:
            self._closing[job_id] = supervisor

    async def take_up(self, job_id: JobId) -> JobSupervisor | None:
        """Supervise a job that waits; None where it has ended. All who ask get the same one."""
        while (loading := self._loading.get(job_id)) is not None:
            await asyncio.wait([loading])
        if (supervisor := self._supervisors.get(job_id)) is not None:
            return supervisor
        job, size = self._fresh.take_sized(job_id)
        if job is not None:
            return self._supervise(job, size)
        stored = await self._load(job_id)
        # Where it was admitted meanwhile, it would be taken from there once more after its end.
        self._fresh.take(job_id)
        return None if stored is None else self._take_up_again(stored)

    def _take_up_again(self, stored: StoredJob) -> JobSupervisor:
        """Go on with a job that was read: one that is running slept, to others nothing has happened."""
        job, size = stored.job, held_bytes(stored.job.spec)
        if stored.state is not JobState.RUNNING or stored.course is None:
            return self._supervise(job, size)
        supervisor = self.supervise(job, stored.state, stored.course, size)
        supervisor.go_on(self._held.timers_of(job.id))
        return supervisor

    def turn(self, turn: Turn) -> None:
        """A leg has its turn."""
        job_id = turn.ticket.job_id
        supervisor = self._supervisors.get(job_id)
        if supervisor is None and job_id not in self._loading:
            fresh, size = self._fresh.take_sized(job_id)
            supervisor = None if fresh is None else self._supervise(fresh, size)
        if supervisor is None:
            self._context.spawn(self._load_and_turn(turn))
        else:
            self._give_turn(supervisor, turn)

    def placed(self, placed: Placed) -> None:
        """An attempt is to be sent."""
        if (supervisor := self._supervisors.get(placed.job)) is not None:
            self._placed(supervisor, placed)
        else:
            # Its target is in another shard.
            self._placing.add(placed.attempt)
            self._context.spawn(self._load_and_place(placed))

    async def _load_and_place(self, placed: Placed) -> None:
        await self._load_and_do(placed.job, lambda found: self._placed(found, placed))
        self._placing.discard(placed.attempt)

    def _placed(self, supervisor: JobSupervisor, placed: Placed) -> None:
        supervisor.placed(placed)
        if supervisor.bare:
            # Its target is in another shard: by now the bodies are on disk again.
            self._with_bodies(supervisor, lambda: supervisor.send_late(placed))

    def started(self, started: Started) -> None:
        """An attempt's first byte was written."""
        supervisor = self._heard_of(started.job)
        if supervisor is not None:
            supervisor.attempt_started(started)

    def ended(self, ended: AttemptEnded) -> None:
        """An attempt is over."""
        if (supervisor := self._heard_of(ended.job)) is not None:
            self._ended(supervisor, ended)
        elif ended.attempt in self._placing:
            self._context.spawn(self._load_and_do(ended.job, lambda found: self._ended(found, ended)))

    def _ended(self, supervisor: JobSupervisor, ended: AttemptEnded) -> None:
        supervisor.attempt_ended(ended.attempt, ended.ended, ended.healthy)
        self._held.let_sleep(supervisor)
        if self._closing and supervisor.closed:
            self._closing.pop(ended.job, None)

    def late(self, late: Late) -> None:
        """A hedge may want a further leg."""
        if (supervisor := self._supervisors.get(late.job)) is not None:
            supervisor.attempt_late(late)

    def step_late(self, job_id: JobId, step: int) -> None:
        """A step's fallback may begin."""
        if (supervisor := self._supervisors.get(job_id)) is not None:
            supervisor.step_late(step)
        else:
            self._context.spawn(self._load_and_do(job_id, lambda found: found.step_late(step)))

    def shut(self, shut: Shut) -> bool:
        """A step may go on elsewhere; say whether it did at once."""
        supervisor = self._supervisors.get(shut.job)
        if supervisor is None:
            self._context.spawn(
                self._load_and_do(shut.job, lambda found: found.leave_shut(shut.step, shut.cause))
            )
            return False
        return supervisor.leave_shut(shut.step, shut.cause)

    def gone(self, gone: RegionsGone) -> None:
        """A leg can't run."""
        if (supervisor := self._supervisors.get(gone.job)) is not None:
            supervisor.give_up(gone)
        else:
            self._context.spawn(self._load_and_do(gone.job, lambda found: found.give_up(gone)))

    async def _load_and_do(self, job_id: JobId, act: Callable[[JobSupervisor], object]) -> None:
        supervisor = await self.take_up(job_id)
        if supervisor is not None:
            act(supervisor)
            self.lay_down(supervisor)

    def _heard_of(self, job_id: JobId) -> JobSupervisor | None:
        return self._supervisors.get(job_id) or self._closing.get(job_id)

    def _give_turn(self, supervisor: JobSupervisor, turn: Turn) -> None:
        if supervisor.bare:
            # Before anything is placed, which goes by what nodes have: a body on its way to one counts there.
            self._with_bodies(supervisor, lambda: supervisor.turn(turn))
        else:
            supervisor.turn(turn)
            self.lay_down(supervisor)

    def _with_bodies(self, supervisor: JobSupervisor, act: Callable[[], None]) -> None:
        """Do something that needs a job's bodies, once they are there, or nothing does any more."""
        if supervisor.take_held_bodies():
            act()
            self.lay_down(supervisor)
        else:
            self._held.keep_up(supervisor)
            self._context.spawn(self._read_and_do(supervisor, act))

    async def _read_and_do(self, supervisor: JobSupervisor, act: Callable[[], None]) -> None:
        try:
            async with self._context.bodies.sending.turn(supervisor.job.customer):
                await supervisor.read_bodies()
                act()
        finally:
            self._held.keep_up_no_more(supervisor)
        self.lay_down(supervisor)

    async def _load_and_turn(self, turn: Turn) -> None:
        supervisor = await self.take_up(turn.ticket.job_id)
        if supervisor is None:
            self._context.targets.pass_up(turn)
        else:
            self._give_turn(supervisor, turn)

    def lay_down(self, supervisor: JobSupervisor) -> None:
        """Hold none that has done nothing yet: it is made anew when its job's turn comes again. Of the others
        hold no large bodies.
        """
        job = supervisor.job
        if self._supervisors.get(job.id) is not supervisor:
            return
        if not supervisor.untouched:
            if supervisor.set_bodies_aside():
                self._held.resize(supervisor, held_bytes(supervisor.job.spec))
            self._held.let_sleep(supervisor)
            return
        self._held.forget(job.id)
        if not supervisor.bare:
            self._fresh.put(job)

    async def _load(self, job_id: JobId) -> StoredJob | None:
        loaded = self._loading[job_id] = asyncio.get_running_loop().create_future()
        try:
            stored = await self._reader.read(job_id)
        finally:
            del self._loading[job_id]
            loaded.set_result(None)
        if stored is not None and stored.damage is not None:
            self.fail_damaged(stored)
            return None
        return stored

    def _supervise(self, job: Job, size: int) -> JobSupervisor:
        return self.supervise(job, JobState.QUEUED, begin_course(job.spec), size)

    def supervise(self, job: Job, state: JobState, course: Course, size: int) -> JobSupervisor:
        """Hold a supervisor for a job that is so far."""
        supervisor = JobSupervisor(self._context, job, state, course, size)
        self._held.hold(supervisor)
        return supervisor

    def fail_damaged(self, stored: StoredJob, damage: str | None = None) -> None:
        """End a job whose request can be read, and something else not: its receivers are told."""
        failure = damaged(stored.job.id, damage or stored.damage or "")
        course = stored.course or begin_course(stored.job.spec)
        supervisor = self.supervise(stored.job, stored.state, course, 0)
        supervisor.go_on(self._held.timers_of(stored.job.id))
        supervisor.fail(failure)
