"""Jobs' short time limits, to the moment and by the monotonic clock. Long ones are found on disk, by the Unix
clock: they outlive the process.
"""

from collections.abc import Callable

from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.clock import Clock, Timer

SHORT_MS = 3_600_000
WATCHED_MOST = 10_000
"""Of more the disk knows, and is asked often."""


class TimeLimits:
    """Knows when jobs of this life are over.

    Args:
        clock: Time.
        time_out: Ends a job whose time is over.
    """

    def __init__(self, clock: Clock, time_out: Callable[[JobId], None]) -> None:
        self._clock = clock
        self._time_out = time_out
        self._due: dict[JobId, tuple[float, Timer]] = {}

    def watch(self, job: Job) -> None:
        """Note a job that was accepted just now, if its limit is a short one. What begins at a moment of the
        Unix clock ends by that clock as well.
        """
        limit_ms = job.deadline_at_ms - job.accepted_ms
        if limit_ms > SHORT_MS or job.spec.retry_at is not None or len(self._due) >= WATCHED_MOST:
            return
        due = self._clock.now() + limit_ms / 1000
        self._due[job.id] = due, self._clock.call_at(due, lambda: self._time_out(job.id))

    def drop(self, job_id: JobId) -> None:
        """A job has ended."""
        found = self._due.pop(job_id, None)
        if found is not None:
            found[1].cancel()

    def __contains__(self, job_id: JobId) -> bool:
        """Whether this job's limit is watched here, whatever the Unix clock says."""
        return job_id in self._due

    def over(self, job: Job) -> bool:
        """Whether a job's time is over."""
        found = self._due.get(job.id)
        return self._clock.unix_ms() >= job.deadline_at_ms if found is None else self._clock.now() >= found[0]
