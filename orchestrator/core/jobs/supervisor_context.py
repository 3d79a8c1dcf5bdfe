"""What the supervisors of a shard share."""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from msgspec import Struct

from orchestrator.core.jobs.kept_answers import KeptAnswers
from orchestrator.core.jobs.result_writer import ResultWriter
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
    ended: Callable[[Job, Ending, list[Job]], None]
    """Told when a job's end is on disk, and which children it spawned."""
    over: Callable[[Job], bool]
    """Whether a job's time is over."""
    moved: Callable[[JobId], None]
    """Told that something happened to a job that has not ended."""
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    tracing: Tracing
