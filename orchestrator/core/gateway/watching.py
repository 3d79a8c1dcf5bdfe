"""Watching a job: subscribe at its owner, *then* read its row; anew at each life of the owner; and read every
5 s beneath all that, for a notice may be lost on its way.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Self

from msgspec.structs import replace

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.jobs.job_notifier import Watch
from orchestrator.domain.execution.course import Course
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import without_payload
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import DamagedError, HistoryStore, StoredJob

READ_EVERY_S = 5.0


class Subscription:
    """Says when the row of a job is to be read: at first, after each notice, when the owner has begun another
    life and knows of no subscription, and READ_EVERY_S after the last time.
    """

    def __init__(self, shard: ShardClient, clock: Clock, job_id: JobId) -> None:
        self._shard = shard
        self._clock = clock
        self._job_id = job_id
        self._held = contextlib.ExitStack()
        self._epoch, self._watch = self._subscribe()
        self._read_at = clock.now()

    async def news(self, timeout_s: float) -> bool:
        """Wait until the row is to be read, at most ``timeout_s``; say whether it is."""
        return await self._due(timeout_s, Watch.news)

    async def end(self, timeout_s: float) -> bool:
        """Wait likewise, but of all notices only for that of the job's end."""
        return await self._due(timeout_s, _notice_of_end)

    def close(self) -> None:
        """Look no longer."""
        self._held.close()

    async def _due(self, timeout_s: float, notice: Callable[[Watch, float], Awaitable[bool]]) -> bool:
        until_read_s = max(0.0, self._read_at - self._clock.now())
        noticed = until_read_s > 0 and await notice(self._watch, min(timeout_s, until_read_s))
        renewed = self._shard.epoch != self._epoch and self._renew()
        now = self._clock.now()
        if not (noticed or renewed or now >= self._read_at):
            return False
        self._read_at = now + READ_EVERY_S
        return True

    def _renew(self) -> bool:
        self._held.close()
        self._epoch, self._watch = self._subscribe()
        return True

    def _subscribe(self) -> tuple[int, Watch]:
        return self._shard.epoch, self._held.enter_context(self._shard.watch(self._job_id))


async def _notice_of_end(watch: Watch, timeout_s: float) -> bool:
    await watch.end(timeout_s)
    return watch.ended


@contextlib.contextmanager
def subscribed(shard: ShardClient, clock: Clock, job_id: JobId) -> Iterator[Subscription]:
    """Watch a job until the block ends."""
    subscription = Subscription(shard, clock, job_id)
    try:
        yield subscription
    finally:
        subscription.close()


async def wait_for_end(
    shard: ShardClient, clock: Clock, job_id: JobId, has_ended: Callable[[], Awaitable[bool]], wait_s: float
) -> None:
    """Return when a job has ended, or after ``wait_s``; ``has_ended`` reads the row."""
    until = clock.now() + wait_s
    with subscribed(shard, clock, job_id) as subscription:
        while (left_s := until - clock.now()) > 0:
            if await subscription.end(left_s) and await has_ended():
                return


class JobFollower:
    """Follows one job for one client, who may leave at any time: nothing here changes the job. It is
    subscribed for as long as it is entered (``with``).
    """

    def __init__(self, shard: ShardClient, store: HistoryStore, clock: Clock, stored: StoredJob) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock
        # For as long as it lasts, and with it a hundred others: nothing that may be large.
        self.job = without_payload(stored.job)
        self.stored = replace(stored, job=self.job, result=None)
        """As it was last read, without its payload."""
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Subscribe at the job's owner."""
        self._subscription = self._held.enter_context(subscribed(self._shard, self._clock, self.job.id))
        return self

    def __exit__(self, *_: object) -> None:
        """Look no longer."""
        self._held.close()

    async def news(self, patience_s: float) -> bool:
        """Read the job anew once something has happened, or it is time to; say whether it was read within
        ``patience_s``.
        """
        due = await self._subscription.news(patience_s)
        if due:
            await self._read()
        return due

    @property
    def over(self) -> bool:
        """Whether nothing is to come any more: the job has ended, or the service stops."""
        return self.stored.state.ended or not self._shard.accepting

    @property
    def course(self) -> Course | None:
        """How far it is: as its owner knows, or else as was last read."""
        _, course = self._shard.under_way(self.job.id) or (None, self.stored.course)
        return course

    @property
    def place(self) -> QueuePosition | None:
        """Where it waits now; None where it does not."""
        return self._shard.place(self.job)

    async def _read(self) -> None:
        try:
            found = await self._store.look(self.job.id, self.job.customer)
        except DamagedError as error:
            found = await self._remains(error)
        if found is not None:
            self.stored = replace(found, job=self.job)

    async def _remains(self, error: DamagedError) -> StoredJob | None:
        """What can be read of a job that was damaged since this began."""
        line = await self._store.summary(self.job.id, self._clock.unix_ms())
        if line is None:
            return None
        return replace(self.stored, state=line.state, ended_ms=line.ended_ms, result=error.result)
