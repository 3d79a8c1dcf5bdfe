"""How jobs come into the queues of their targets: those just accepted, and those that a restart found."""

from orchestrator.core.jobs.job_reader import JobReader
from orchestrator.core.jobs.job_recovery import JobRecovery
from orchestrator.core.jobs.job_table import JobTable
from orchestrator.core.jobs.ledger import Ledger
from orchestrator.core.jobs.scheduled_jobs import ScheduledJobs
from orchestrator.core.jobs.time_limits import TimeLimits
from orchestrator.core.targets.limiter_registry import LimiterRegistry
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState, first_state
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import WaitingJob
from orchestrator.ports.targets import Claim


class JobQueueing:
    """Queues jobs as index entries: their payloads are read when their turn comes.

    Args:
        clock: Time.
        ledger: Counts what customers have open.
        limits: Knows when jobs' time is over.
        scheduled: Lets jobs wait until they are due.
        jobs: Holds those that will soon have their turn.
        recovery: Goes on with those that were running.
        reader: Reads jobs back from disk.
        domains: Has the targets' limiters.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        limits: TimeLimits,
        scheduled: ScheduledJobs,
        jobs: JobTable,
        recovery: JobRecovery,
        reader: JobReader,
        domains: LimiterRegistry,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._limits = limits
        self._scheduled = scheduled
        self._jobs = jobs
        self._recovery = recovery
        self._reader = reader
        self._domains = domains

    def accept(self, job: Job) -> None:
        """Queue a job that is on disk."""
        # What was learned of its target holds from now on, however much later the job is due.
        self._domains.limiter(job.domain)
        self._ledger.accepted(job.customer, job.domain)
        self._jobs.accepted(job)
        self._limits.watch(job)
        state = first_state(self._clock.unix_ms(), job.spec.retry_at)
        ticket = Ticket(
            job.order_key,
            job.id,
            customer=job.customer,
            account=job.account,
            cost=job.spec.cost,
            path=job.spec.path_class,
        )
        at_ms = job.spec.retry_at if state is JobState.SCHEDULED else None
        self._scheduled.queue(Claim(job.domain, ticket, may_leave=job.spec.fallback is not None), at_ms)

    async def recover(self, waiting: WaitingJob, mark: Mark | None = None) -> None:
        """Queue a job again that a restart found, or go on with it. One that is marked was running, whatever
        its row says.
        """
        self._domains.limiter(waiting.domain)
        self._ledger.found(waiting.customer, waiting.domain)
        if waiting.state is not JobState.RUNNING and waiting.damage is None and mark is None:
            self._scheduled.queue(Claim(waiting.domain, _ticket_of(waiting)), waiting.not_before_ms)
            return
        stored = await self._reader.read(waiting.id)
        if stored is not None:
            self._recovery.recover(stored, waiting.damage, mark)


def _ticket_of(waiting: WaitingJob) -> Ticket:
    return Ticket(
        waiting.order_key,
        waiting.id,
        customer=waiting.customer,
        account=waiting.account,
        cost=waiting.cost,
    )
