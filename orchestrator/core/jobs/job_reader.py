"""Reads jobs back from disk; one whose request can't be read any more comes to its end here."""

import logging
from collections.abc import Callable

from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.results.report import damaged_body
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import DamagedError, Ending, Store, StoredJob
from orchestrator.runtime.log_format import about

log = logging.getLogger(__name__)


class JobReader:
    """Gives jobs that have not ended.

    Args:
        store: Where they lie.
        clock: Time.
        buried: Told of the end of a job that nobody can say any more what it was.
    """

    def __init__(self, store: Store, clock: Clock, buried: Callable[[Ending], None]) -> None:
        self._store = store
        self._clock = clock
        self._buried = buried

    async def read(self, job_id: JobId) -> StoredJob | None:
        """Read a job, damaged perhaps; None where it has ended, or does so now."""
        try:
            stored = await self._store.jobs.load(job_id)
        except DamagedError as error:
            await self._bury(job_id, str(error))
            return None
        return None if stored is None or stored.state.ended else stored

    async def whole(self, job_id: JobId) -> Job | Failure:
        """Read a job that is under way once more; say so where its request can't be read any more."""
        try:
            stored = await self._store.jobs.load(job_id)
        except DamagedError as error:
            return damaged(job_id, str(error))
        return damaged(job_id, "its row is gone") if stored is None else stored.job

    async def _bury(self, job_id: JobId, damage: str) -> None:
        """End a job whose request can't be read: nobody knows whom to tell."""
        line = await self._store.history.summary(job_id, self._clock.unix_ms())
        if line is None or line.state.ended:
            return
        ending = Ending(
            job_id=job_id,
            customer=line.customer,
            state=JobState.FAILED,
            course=Course(()),
            result=damaged_body(job_id, damaged(job_id, damage)),
            ended_ms=self._clock.unix_ms(),
            outbox=(),
            # What never ran may come again under its key.
            key_freed=line.state is not JobState.RUNNING,
            code=FailureCode.DAMAGED,
            marked=True,
        )
        await self._store.jobs.end(ending)
        self._buried(ending)


def damaged(job_id: JobId, damage: str) -> Failure:
    """Say that a job's row is damaged."""
    log.error("%s ends, for its row is damaged: %s", job_id, damage, extra=about(job=job_id))
    return Failure(FailureCode.DAMAGED, f"what was stored of the job can't be read: {damage}")
