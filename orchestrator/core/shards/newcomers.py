"""Jobs of this shard that another has put on disk: a child whose target is here, say."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from orchestrator.core.job_reader import JobReader
from orchestrator.domain.ids import JobId
from orchestrator.domain.job import Job
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import JobStore

LOOK_EVERY_S = 1.0


class Newcomers:
    """Learns of each such job by an announcement, which may be lost, or by looking; it is admitted once.

    Args:
        store: Says what others have committed for this shard.
        clock: Time.
        reader: Reads jobs from disk.
        spawn: Runs work to its end.
        admit: Takes a job in.
    """

    def __init__(
        self,
        store: JobStore,
        clock: Clock,
        reader: JobReader,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        admit: Callable[[Job], object],
    ) -> None:
        self._store = store
        self._clock = clock
        self._reader = reader
        self._spawn = spawn
        self._admit = admit
        self._looking = False
        self._known: set[JobId] = set()
        self._known_before: set[JobId] = set()
        """Those of the time between the two looks before this: what a look finds was put there since then."""

    def begin(self, found: Iterable[JobId]) -> None:
        """Look from now on. What was ``found`` at the start is known: a look may find it again."""
        self._looking = True
        self._known.update(found)
        self._spawn(self._look())

    def know(self, job_id: JobId) -> bool:
        """Take note that a job is taken in; say whether that is new. Where nobody looks, it is."""
        if not self._looking:
            return True
        new = job_id not in self._known and job_id not in self._known_before
        self._known.add(job_id)
        return new

    def announced(self, job_id: JobId) -> None:
        """Another shard says that it has put a job on disk."""
        self._spawn(self._take(job_id))

    async def _look(self) -> None:
        for waiting in (await self._store.news()).jobs:
            await self._take(waiting.id)
        self._known_before, self._known = self._known, set()
        self._clock.call_at(self._clock.now() + LOOK_EVERY_S, lambda: self._spawn(self._look()))

    async def _take(self, job_id: JobId) -> None:
        if job_id in self._known or job_id in self._known_before:
            # A look may find it as often as one before it could not be sure of what it had not seen.
            self._known.add(job_id)
            return
        stored = await self._reader.read(job_id)
        if stored is not None and not stored.state.ended and self.know(job_id):
            self._admit(stored.job)
