"""What others have put on disk for this shard: jobs for targets here, deliveries to receivers here."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import takewhile
from typing import Any

from orchestrator.core.jobs.job_reader import JobReader
from orchestrator.domain.ids import DeliveryId, JobId, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import DamagedError, JobStore, OutboxEntry

LOOK_EVERY_S = 1.0
KNOWN_FOR_S = 60.0
"""Far longer than an announcement is under way, or a look."""


class Newcomers:
    """Learns of each by an announcement, which may be lost, or by looking; it is taken in once.

    Args:
        store: Says what others have committed for this shard.
        clock: Time.
        reader: Reads jobs from disk.
        spawn: Runs work to its end.
        admit: Takes a job in.
        deliver: Takes a delivery in.
        is_ours: Whether a target or a receiver is at this shard.
        alone: Whether there are no others: nothing is remembered then.
    """

    def __init__(
        self,
        store: JobStore,
        clock: Clock,
        reader: JobReader,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        *,
        admit: Callable[[Job], None],
        deliver: Callable[[OutboxEntry], None],
        is_ours: Callable[[TargetDomain], bool],
        alone: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._reader = reader
        self._spawn = spawn
        self._admit = admit
        self._deliver = deliver
        self._is_ours = is_ours
        self._alone = alone
        self._known: dict[JobId | DeliveryId, float] = {}
        """What was taken in or found lately, the oldest first, and when."""

    def begin(self, found: Iterable[JobId | DeliveryId]) -> None:
        """Look from now on. What was ``found`` at the start is known: a look may find it again."""
        for what in found:
            self.know(what)
        self._spawn(self._look())

    def know(self, what: JobId | DeliveryId) -> bool:
        """Take note that something is taken in, be it before the first look; say whether that is new. A shard
        that is alone finds nothing twice.
        """
        if self._alone:
            return True
        new = self._known.pop(what, None) is None
        # A look may find it as often as one before it could not be sure of what it had not seen.
        self._known[what] = self._clock.now()
        return new

    def job_stored(self, job_id: JobId) -> None:
        """Another shard says that it has put a job on disk."""
        self._spawn(self._take_job(job_id))

    def deliveries_stored(self, job_id: JobId) -> None:
        """Another shard says that it has put deliveries on disk."""
        self._spawn(self._take_deliveries_of(job_id))

    async def _look(self) -> None:
        news = await self._store.news()
        for waiting in news.jobs:
            await self._take_job(waiting.id)
        self._take_deliveries(news.deliveries)
        self._forget()
        self._clock.call_at(self._clock.now() + LOOK_EVERY_S, lambda: self._spawn(self._look()))

    def _forget(self) -> None:
        before = self._clock.now() - KNOWN_FOR_S
        for what in list(takewhile(lambda known: self._known[known] < before, self._known)):
            del self._known[what]

    async def _take_job(self, job_id: JobId) -> None:
        if job_id in self._known:
            self.know(job_id)
            return
        stored = await self._reader.read(job_id)
        if stored is not None and self.know(job_id):
            self._admit(stored.job)

    async def _take_deliveries_of(self, job_id: JobId) -> None:
        try:
            stored = await self._store.look(job_id)
        except DamagedError:
            # The next look finds the deliveries without their job, and they end as what can't be read.
            return
        if stored is not None:
            self._take_deliveries(stored.deliveries)

    def _take_deliveries(self, entries: Sequence[OutboxEntry]) -> None:
        for entry in entries:
            pending = entry.state is DeliveryState.PENDING and not entry.log
            if pending and self._is_ours(entry.endpoint) and self.know(entry.id):
                self._deliver(entry)
