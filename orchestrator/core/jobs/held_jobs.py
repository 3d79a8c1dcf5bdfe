"""Jobs under way in memory, as many as there is room for: what of others waits sleeps on disk."""

from collections import Counter

from orchestrator.core.jobs.job_timers import JobTimers
from orchestrator.core.jobs.supervisor import JobSupervisor
from orchestrator.core.jobs.supervisor_context import SupervisorContext
from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.ids import JobId
from orchestrator.ports.store import StoreFailure

HELD_BYTES = 8 * MIB
"""Of jobs under way. Where they take more, those that wait for a retry, or for their turn, leave memory."""
JOB_COSTS = 3_000
"""Of a job's supervisor, its course and what its targets know of it, besides its spec."""


class HeldJobs:
    """Counts supervisors, and lets go of those that can sleep.

    Args:
        context: What supervisors share.
        supervisors: Holds them.
    """

    def __init__(self, context: SupervisorContext, supervisors: dict[JobId, JobSupervisor]) -> None:
        self._context = context
        self._supervisors = supervisors
        self._asleep: dict[JobId, JobTimers] = {}
        """When those that sleep line up again."""
        self._kept_up: Counter[JobId] = Counter()
        self.used = 0
        """Bytes that are counted now."""

    def hold(self, supervisor: JobSupervisor) -> None:
        """Hold a supervisor."""
        supervisor.size += JOB_COSTS
        self.used += supervisor.size
        self._supervisors[supervisor.job.id] = supervisor

    def forget(self, job_id: JobId) -> JobSupervisor | None:
        """Hold it no longer, and nothing of it; give it, if there was one."""
        if (timers := self._asleep.pop(job_id, None)) is not None:
            timers.cancel_all()
        return self._let_go(job_id)

    def resize(self, supervisor: JobSupervisor, size: int) -> None:
        """Count a supervisor whose spec takes so many bytes now."""
        size += JOB_COSTS
        self.used += size - supervisor.size
        supervisor.size = size

    def timers_of(self, job_id: JobId) -> JobTimers:
        """Say when a job that slept lines up again."""
        return self._asleep.pop(job_id, None) or JobTimers(self._context.clock)

    def keep_up(self, supervisor: JobSupervisor) -> None:
        """Something is about to be done with a supervisor: it does not sleep until ``keep_up_no_more``."""
        self._kept_up[supervisor.job.id] += 1

    def keep_up_no_more(self, supervisor: JobSupervisor) -> None:
        """That was done."""
        self._kept_up[supervisor.job.id] -= 1
        self._kept_up += Counter()

    def let_sleep(self, supervisor: JobSupervisor) -> None:
        """Let go of a supervisor, where there is no room for it and it can sleep, once that is on disk."""
        if self._may_sleep(supervisor):
            self._context.spawn(self._put_to_sleep(supervisor))

    def _may_sleep(self, supervisor: JobSupervisor) -> bool:
        if self.used <= HELD_BYTES:
            return False
        job_id = supervisor.job.id
        held = self._supervisors.get(job_id) is supervisor
        return held and job_id not in self._kept_up and supervisor.can_sleep

    async def _put_to_sleep(self, supervisor: JobSupervisor) -> None:
        job, course = supervisor.job, supervisor.course
        if not self._may_sleep(supervisor):
            return
        try:
            await self._context.store.save_course(job.id, job.customer, supervisor.state, course)
        except StoreFailure:
            # A full disk holds nothing more: the job stays where it is.
            return
        if supervisor.course is course and self._may_sleep(supervisor):
            self._let_go(job.id)
            self._context.bodies.fresh.take(job.id)
            supervisor.lie_down()
            if supervisor.timers:
                self._asleep[job.id] = supervisor.timers

    def _let_go(self, job_id: JobId) -> JobSupervisor | None:
        supervisor = self._supervisors.pop(job_id, None)
        if supervisor is not None:
            self.used -= supervisor.size
        return supervisor
