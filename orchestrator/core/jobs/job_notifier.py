"""Who looks at a job is told when something happened to it: in this process, and only that it did."""

import asyncio
import contextlib
from collections.abc import Iterator

from orchestrator.domain.ids import JobId


class Watch:
    """One onlooker of one job."""

    def __init__(self) -> None:
        self.ended = False
        self._news = asyncio.Event()

    def notify(self, *, ended: bool) -> None:
        """Something happened."""
        self.ended = self.ended or ended
        self._news.set()

    async def news(self, timeout_s: float) -> bool:
        """Wait until something happened since the last call, or the time is over; say whether it did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        happened = self._news.is_set()
        self._news.clear()
        return happened

    async def end(self, timeout_s: float) -> None:
        """Return when the job's end is on disk, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.ended:
                    await self._news.wait()
                    self._news.clear()


class JobNotifier:
    """Notices carry no content: an onlooker reads the job itself, so that a slow one misses nothing and
    nothing is kept for it.
    """

    def __init__(self) -> None:
        self._watches: dict[JobId, list[Watch]] = {}

    def __len__(self) -> int:
        """Count the jobs that somebody looks at."""
        return len(self._watches)

    def post(self, job_id: JobId, *, ended: bool = False) -> None:
        """Tell those who look at the job; ``ended`` once its end is on disk."""
        for watch in self._watches.get(job_id, ()):
            watch.notify(ended=ended)

    @contextlib.contextmanager
    def watch(self, job_id: JobId) -> Iterator[Watch]:
        """Look at a job. What happens from now on is noticed: read the job after this, not before."""
        watch = Watch()
        self._watches.setdefault(job_id, []).append(watch)
        try:
            yield watch
        finally:
            watches = self._watches[job_id]
            watches.remove(watch)
            if not watches:
                del self._watches[job_id]
