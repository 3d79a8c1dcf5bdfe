"""Whole jobs that are soon needed, most of them just accepted: they need not be read back from disk."""

from collections import OrderedDict

from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job, held_bytes

FRESH_BYTES = 10 * MIB
FRESH_JOBS = 10_000


class JobCache:
    """Holds the latest jobs, bounded in count and bytes; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[JobId, tuple[Job, int]] = OrderedDict()
        self._bytes = 0

    def put(self, job: Job) -> None:
        """Hold a job, unless it is larger than all that may be held."""
        self.take(job.id)
        size = held_bytes(job.spec)
        if size > FRESH_BYTES:
            return
        self._jobs[job.id] = job, size
        self._bytes += size
        while len(self._jobs) > FRESH_JOBS or self._bytes > FRESH_BYTES:
            _, (_, oldest) = self._jobs.popitem(last=False)
            self._bytes -= oldest

    def take(self, job_id: JobId) -> Job | None:
        """Give a job out, and hold it no longer."""
        return self.take_sized(job_id)[0]

    def take_sized(self, job_id: JobId) -> tuple[Job | None, int]:
        """Give a job out, with the bytes that its spec takes, and hold it no longer."""
        job, size = self._jobs.pop(job_id, (None, 0))
        self._bytes -= size
        return job, size
