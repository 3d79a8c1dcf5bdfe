"""What the supervisors of a shard share."""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from msgspec import Struct

from orchestrator.core.jobs.job_reader import JobReader
from orchestrator.core.jobs.kept_answers import KeptAnswers
from orchestrator.core.jobs.large_bodies import LargeBodies
from orchestrator.core.jobs.result_writer import ResultWriter
from orchestrator.core.jobs.step_orders import send_order
from orchestrator.core.shard_context import ShardContext
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Ending, JobStore
from orchestrator.ports.targets import Targets
from orchestrator.ports.tracing import Tracing


class SupervisorContext(Struct, frozen=True, kw_only=True):
    """What supervisors of a shard share."""

    store: JobStore
    clock: Clock
    random: Random
    targets: Targets
    results: ResultWriter
    kept_answers: KeptAnswers
    bodies: LargeBodies
    ended: Callable[[Job, Ending, list[Job]], None]
    """Told when a job's end is on disk, and which children it spawned."""
    over: Callable[[Job], bool]
    """Whether a job's time is over."""
    moved: Callable[[JobId], None]
    """Told that something happened to a job that has not ended."""
    late: Callable[[JobId, int], None]
    """Told that a step of a job takes so long that its fallback may begin. The job may sleep by then."""
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    tracing: Tracing

    @classmethod
    def of(
        cls,
        context: ShardContext,
        reader: JobReader,
        *,
        targets: Targets,
        kept_answers: KeptAnswers,
        ended: Callable[[Job, Ending, list[Job]], None],
        over: Callable[[Job], bool],
        moved: Callable[[JobId], None],
        late: Callable[[JobId, int], None],
    ) -> "SupervisorContext":
        """Take what the shard's parts share, and make what supervisors alone do."""
        return cls(
            store=context.store.jobs,
            clock=context.clock,
            random=context.random,
            targets=targets,
            results=ResultWriter(context.clock.now, context.answers),
            kept_answers=kept_answers,
            bodies=LargeBodies(reader),
            ended=ended,
            over=over,
            moved=moved,
            late=late,
            spawn=context.spawn,
            tracing=context.tracing,
        )

    def send(self, job: Job, step: int, attempt: Attempt) -> None:
        """Send the request of an attempt that was placed."""
        traceparent = self.tracing.onward(job.id, job.traceparent, attempt.number)
        self.targets.send(send_order(job, step, attempt, traceparent))
