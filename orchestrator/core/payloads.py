"""Jobs just accepted: most go out at once, and need not be read back from disk."""

from collections import OrderedDict

from orchestrator.domain.ids import JobId
from orchestrator.domain.job import Job

FRESH_BYTES = 32 * 1024 * 1024
FRESH_JOBS = 10_000


class FreshJobs:
    """Holds the newest jobs, bounded in count and bytes; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[JobId, Job] = OrderedDict()
        self._bytes = 0

    def put(self, job: Job) -> None:
        """Hold a job."""
        self._jobs[job.id] = job
        self._bytes += _size(job)
        while len(self._jobs) > FRESH_JOBS or self._bytes > FRESH_BYTES:
            _, oldest = self._jobs.popitem(last=False)
            self._bytes -= _size(oldest)

    def take(self, job_id: JobId) -> Job | None:
        """Give a job out, and hold it no longer."""
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._bytes -= _size(job)
        return job


def _size(job: Job) -> int:
    return 500 + len(job.spec.url) + len(job.spec.body or "")
