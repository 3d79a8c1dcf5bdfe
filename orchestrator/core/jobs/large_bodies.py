"""The large bodies of jobs under way: on disk while nothing is sent, for such a job may wait for days."""

from msgspec.structs import replace

from orchestrator.core.jobs.job_cache import JobCache
from orchestrator.core.jobs.job_reader import JobReader
from orchestrator.core.turns import Turns
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.execution.settling import Failure
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job, bodiless, body_bytes
from orchestrator.domain.jobs.lifecycle import JobState


class LargeBodies:
    """Takes large bodies from jobs that have been sent, and gives them back.

    ``fresh`` holds whole jobs as long as there is room. What is read anew is used one job after the other,
    customers in turn: to be sent in ``sending``, for a child in ``ending``, until that is on disk. They are
    two, for where the disk takes nothing what is to be sent goes on.

    Args:
        reader: Reads jobs back from disk.
    """

    def __init__(self, reader: JobReader) -> None:
        self._reader = reader
        self.fresh = JobCache()
        self.sending = Turns()
        self.ending = Turns()

    def set_aside(self, job: Job) -> Job:
        """Give a job without its bodies, where they are large; else as it is."""
        if body_bytes(job.spec) <= LARGE_BYTES:
            return job
        self.fresh.put(job)
        return bare(job)

    def held(self, job_id: JobId) -> Job | None:
        """Give a whole job out, if it is still held."""
        return self.fresh.take(job_id)

    async def read(self, job_id: JobId) -> Job | Failure:
        """Give a whole job, from disk if need be, or say why it can't be read any more."""
        return self.held(job_id) or await self._reader.whole(job_id)


def bare(job: Job) -> Job:
    """Leave out a job's bodies."""
    return replace(job, spec=bodiless(job.spec))


def spawns(job: Job, state: JobState) -> bool:
    """Whether a job of its own follows this end."""
    return (state is JobState.SUCCESS and job.spec.on_success is not None) or (
        state is JobState.FAILED and job.spec.on_failure is not None
    )
