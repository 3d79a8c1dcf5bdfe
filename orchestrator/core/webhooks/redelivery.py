"""Webhooks again: a finished job's, or what failed for good, the latter at a bounded pace."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from orchestrator.core.views import Redelivered
from orchestrator.core.webhooks.outbox import Outbox
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.store import DeadFilter, HistoryStore, JobStore, OutboxEntry, StoreFailure

BATCH = 500
LOG_KEPT = 100
"""Attempts that the timeline keeps of a delivery that is made again."""


class Redelivery:
    """Reopens deliveries. Their times, by the outbox's steady clock, are on disk at once, so a restart goes
    on at the same pace.

    ``per_s`` bounds how many of one customer's are begun in a second.
    """

    def __init__(self, store: JobStore, history: HistoryStore, outbox: Outbox, *, per_s: float) -> None:
        self._store = store
        self._history = history
        self._outbox = outbox
        self._interval_ms = 1000 / per_s
        self._free_at_ms: dict[CustomerId, float] = {}
        # One at a time: two that find the same delivery failed would both send it.
        self._turn = asyncio.Lock()

    async def job(self, job_id: JobId) -> int:
        """Send a finished job's webhooks again, accepted ones too; say how many. One that waits goes now."""
        async with self._turn:
            first = await self._store.look(job_id)
            ids = [entry.id for entry in first.deliveries] if first else []
            waited = {id_ for id_ in ids if self._outbox.call_off(id_)}
            # Read again: what was just under way at the first look may be over by now.
            stored = await self._store.look(job_id)
            entries = stored.deliveries if stored else ()
            now_ms = self._outbox.now_ms
            again = [
                replace(entry, next_ms=now_ms) if entry.id in waited else _reopened(entry, now_ms)
                for entry in entries
                if entry.id in waited or entry.state is not DeliveryState.PENDING
            ]
            try:
                await self._save(again)
            except StoreFailure:
                # They go when they would have gone.
                for entry in (entry for entry in entries if entry.id in waited):
                    self._outbox.schedule(entry)
                raise
            return len(entries)

    async def dead(self, wanted: DeadFilter, most: int) -> Redelivered:
        """Make failed deliveries again, the newest first."""
        async with self._turn:
            count, at_ms, found = 0, self._outbox.now_ms, True
            self._free_at_ms = {owner: free for owner, free in self._free_at_ms.items() if free > at_ms}
            while found and count < most:
                entries = await self._history.dead_deliveries(wanted, most=min(BATCH, most - count))
                again = [_reopened(entry, self._next_ms(entry.customer)) for entry in entries]
                await self._save(again)
                count += len(again)
                at_ms = max([at_ms, *(entry.next_ms for entry in again)])
                found = len(entries) == BATCH
            return Redelivered(count, at_ms, bool(await self._history.dead_deliveries(wanted, most=1)))

    async def _save(self, entries: Sequence[OutboxEntry]) -> None:
        await self._store.reopen_deliveries(entries)
        for entry in entries:
            self._outbox.schedule(entry)

    def _next_ms(self, customer: CustomerId) -> int:
        at_ms = max(self._free_at_ms.get(customer, 0.0), self._outbox.now_ms)
        self._free_at_ms[customer] = at_ms + self._interval_ms
        return int(at_ms)


def _reopened(entry: OutboxEntry, at_ms: int) -> OutboxEntry:
    return replace(
        entry,
        state=DeliveryState.PENDING,
        attempts=0,
        first_ms=None,
        next_ms=at_ms,
        log=entry.log[-LOG_KEPT:],
    )
