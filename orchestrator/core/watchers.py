"""Callers who wait for a job's end."""

import asyncio

from orchestrator.domain.ids import JobId


class Watchers:
    """Futures by job; none is left behind by a caller that gives up."""

    def __init__(self) -> None:
        self._waiting: dict[JobId, list[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """Count the jobs that are waited for."""
        return len(self._waiting)

    def __contains__(self, job_id: JobId) -> bool:
        """Whether somebody waits for a job."""
        return job_id in self._waiting

    async def wait(self, job_id: JobId, timeout_s: float) -> None:
        """Return when the job has ended, or when the time is over."""
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, []).append(watcher)
        try:
            await asyncio.wait([watcher], timeout=timeout_s)
        finally:
            watchers = self._waiting.get(job_id, [])
            if watcher in watchers:
                watchers.remove(watcher)
            if not watchers:
                self._waiting.pop(job_id, None)

    def tell(self, job_id: JobId) -> None:
        """The job has ended."""
        for watcher in self._waiting.pop(job_id, ()):
            if not watcher.done():
                watcher.set_result(None)
