"""All that a shard has of jobs: how they come in, the supervisors of those under way, and what follows when
they end.
"""

from orchestrator.core.jobs.job_ends import tell_of_end
from orchestrator.core.jobs.job_notifier import JobNotifier
from orchestrator.core.jobs.job_queueing import JobQueueing
from orchestrator.core.jobs.job_reader import JobReader
from orchestrator.core.jobs.job_recovery import JobRecovery
from orchestrator.core.jobs.job_table import JobTable
from orchestrator.core.jobs.kept_answers import KeptAnswers
from orchestrator.core.jobs.ledger import Ledger
from orchestrator.core.jobs.scheduled_jobs import ScheduledJobs
from orchestrator.core.jobs.step_orders import targets_of
from orchestrator.core.jobs.supervisor_context import SupervisorContext
from orchestrator.core.jobs.time_limits import TimeLimits
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.shards.neighbours import Neighbours
from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.core.targets.target_side import TargetSide
from orchestrator.core.webhooks.queued import LoadedResult
from orchestrator.core.webhooks.webhook_side import WebhookSide
from orchestrator.domain.errors import NotReady
from orchestrator.domain.execution.course import Course
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.ports.store import Ending

END_WITHIN_S = 5


class JobSide:
    """Joins the parts of the jobs' side. ``table`` is what targets speak to; ``recovery`` joins lives of the
    shard.

    Args:
        context: What the shard's parts share.
        targets: Where jobs wait.
        neighbours: The other shards: their targets, and whose a job or a delivery is.
        webhooks: Where results go.
    """

    def __init__(
        self, context: ShardContext, targets: TargetSide, neighbours: Neighbours, webhooks: WebhookSide
    ) -> None:
        store, clock, spawn = context.store, context.clock, context.spawn
        self._store = store.jobs
        self._counters = context.counters
        self._tracing = context.tracing
        self._targets = targets
        self._neighbours = neighbours
        self._webhooks = webhooks
        self.board = JobNotifier()
        self.ledger = Ledger(store.jobs, clock)
        self.limits = TimeLimits(clock, lambda job_id: spawn(self.time_out(job_id)))
        self.kept_answers = KeptAnswers()
        reader = JobReader(store, clock, self._buried)
        supervision = self._supervision(context, reader)
        self.table = JobTable(supervision, reader)
        self.recovery = JobRecovery(supervision, self.table)
        self.scheduled = ScheduledJobs(clock, targets.routes.line_up, spawn)
        self._queueing = JobQueueing(
            clock,
            self.ledger,
            self.limits,
            self.scheduled,
            self.table,
            self.recovery,
            reader,
            targets.domains,
        )
        self.newcomers = self._newcomers(context, reader)

    def _newcomers(self, context: ShardContext, reader: JobReader) -> Newcomers:
        return Newcomers(
            context.store.jobs,
            context.clock,
            reader,
            context.spawn,
            admit=self._take_in,
            deliver=self._webhooks.outbox.schedule,
            is_ours=self._neighbours.is_ours,
            alone=self._neighbours.alone,
        )

    def _supervision(self, context: ShardContext, reader: JobReader) -> SupervisorContext:
        return SupervisorContext.of(
            context,
            reader,
            targets=self._neighbours.targets,
            kept_answers=self.kept_answers,
            ended=self._ended,
            over=self.limits.over,
            moved=self.board.post,
            late=self._step_late,
        )

    async def recover(self) -> list[JobId]:
        """Queue what the store holds, or go on with it; name the jobs."""
        marks = await self._store.marks()
        found = await self._store.waiting()
        for waiting in found:
            await self._queueing.recover(waiting, marks.get(waiting.id))
        return [job.id for job in found]

    def admit(self, job: Job) -> QueuePosition:
        """Queue a job that is on disk, unless it is known; say where it stands."""
        if self.newcomers.know(job.id):
            self._take_in(job)
        return self.place(job) or QueuePosition(1, 0.0)

    def place(self, job: Job) -> QueuePosition | None:
        """Say where a job stands in its target's queue, or in a fallback's, if it starts earlier there; None
        where it does not wait.
        """
        supervisor = self.table.find(job.id)
        names = targets_of(job) if supervisor is None else supervisor.targets
        return self._targets.place(job, names)

    def under_way(self, job_id: JobId) -> tuple[JobState, Course] | None:
        """Say how far a job is whose supervisor is at work: newer than what is on disk."""
        supervisor = self.table.find(job_id)
        if supervisor is None or supervisor.state.ended:
            return None
        return supervisor.state, supervisor.course

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job, and wait until that is on disk; say whether it was still open.

        Raises:
            NotReady: It is not on disk yet: should the shard die now, the job would go on.
        """
        supervisor = await self.table.take_up(job_id)
        if supervisor is None:
            return False
        supervisor.cancel()
        # Who had ended before is told so only once that is on disk, too.
        if self.table.find(job_id) is supervisor and not await self._on_disk(job_id):
            raise NotReady(f"the job's end ({supervisor.state}) could not be stored yet", END_WITHIN_S)
        return supervisor.state is JobState.CANCELLED

    async def time_out(self, job_id: JobId) -> None:
        """End a job whose time is over, and wait until that is on disk."""
        supervisor = await self.table.take_up(job_id)
        if supervisor is not None:
            supervisor.time_out()
            await self._on_disk(job_id)

    async def _on_disk(self, job_id: JobId) -> bool:
        """Wait for a while for the commit of an end that is decided; say whether it came."""
        with self.board.watch(job_id) as watch:
            await watch.end(END_WITHIN_S)
        return watch.ended

    def _take_in(self, job: Job) -> None:
        self._counters.accepted += 1
        self._queueing.accept(job)

    def _step_late(self, job_id: JobId, step: int) -> None:
        # What supervisors share is made before the table of them.
        self.table.step_late(job_id, step)

    def _ended(self, job: Job, ending: Ending, spawned: list[Job]) -> None:
        self._note_end(ending)
        tell_of_end(job, ending, self._counters, self._tracing)
        ours = self._neighbours.share_out(ending.job_id, ending.outbox)
        new = [entry for entry in ours if self.newcomers.know(entry.id)]
        self._webhooks.dispatcher.deliver(LoadedResult.of_end(job, ending), new)
        for child in spawned:
            if not self._neighbours.announce(child):
                self.admit(child)
        self.board.post(ending.job_id, ended=True)

    def _buried(self, ending: Ending) -> None:
        self._note_end(ending)
        self.board.post(ending.job_id, ended=True)

    def _note_end(self, ending: Ending) -> None:
        self.table.forget(ending.job_id)
        self.limits.drop(ending.job_id)
        self.scheduled.drop(ending.job_id)
        self._counters.ended[ending.state] += 1
        self.ledger.ended(ending)
