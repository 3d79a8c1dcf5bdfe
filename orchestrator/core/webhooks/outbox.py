"""The outbox: what is owed to receivers, on disk, and when it is due."""

import logging
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from orchestrator.core.clock_steps import SteadyClock
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.webhooks.receivers import Receivers
from orchestrator.domain.ids import CustomerId, DeliveryId, JobId, RegionName, TargetDomain
from orchestrator.domain.waiting import still_to_wait_ms
from orchestrator.domain.webhooks.fanout import (
    DeliveryAttempt,
    DeliveryState,
    Schedule,
    is_accepted,
    is_final,
)
from orchestrator.messages.types import Delivered
from orchestrator.ports.clock import Timer
from orchestrator.ports.store import OutboxEntry
from orchestrator.runtime.log_format import about

_NO_SECRETS = "not sent: the stored webhook secrets can't be read, store them anew"
_DOWN_ALL_THE_TIME = "not sent: the receiver was down until the schedule was over"

log = logging.getLogger(__name__)


class Outbox:
    """Records how attempts went, and keeps the time of the next: it is on disk before it is waited for, so a
    restart goes on where this ended.

    Args:
        context: What the shard's parts share.
        schedule: When attempts are made.
        due: Takes a delivery whose time has come.

    """

    def __init__(
        self, context: ShardContext, schedule: Schedule, *, due: Callable[[OutboxEntry], None]
    ) -> None:
        self._store = context.store.jobs
        self._clock = context.clock
        self._steady = SteadyClock(context.clock)
        self._random = context.random
        self._counters = context.counters
        self._schedule = schedule
        self._due = due
        self.receivers = Receivers()
        self._timers: dict[DeliveryId, Timer] = {}

    @property
    def now_ms(self) -> int:
        """Unix ms that deliveries are timed by: a clock that is set hastens none, and holds none up."""
        return self._steady.unix_ms()

    async def begin(self) -> Sequence[OutboxEntry]:
        """Take up what a restart found pending, and give it."""
        found = await self._store.outbox()
        for entry in found:
            # Written by another life, by whatever the clock said then.
            set_ms = entry.log[-1].at_ms if entry.log else entry.next_ms
            self._schedule_in(entry, still_to_wait_ms(entry.next_ms, set_ms, self._clock.unix_ms()))
        return found

    def schedule(self, entry: OutboxEntry) -> None:
        """Make a delivery when it is due; it is on disk by now."""
        self._schedule_in(entry, max(0, entry.next_ms - self.now_ms))

    def call_off(self, delivery: DeliveryId) -> bool:
        """Forget a delivery's next time; say whether it waited for one, and not in a queue or at a sender."""
        timer = self._timers.pop(delivery, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def over_ms(self, entry: OutboxEntry) -> int:
        """Say when a delivery's schedule is over (Unix ms)."""
        first_ms = entry.first_ms if entry.first_ms is not None else entry.next_ms
        return first_ms + self._schedule.lasts_ms

    def noted(self, entry: OutboxEntry, message: Delivered, region: RegionName) -> OutboxEntry:
        """Add what a sender in a region reported to a delivery's log, and to the record of its receiver."""
        line = DeliveryAttempt(
            self._clock.unix_ms(), message.status, message.took_ms, message.message, region
        )
        self.receivers.note(
            entry.customer,
            entry.endpoint,
            message.took_ms / 1000,
            answered=message.status is not None,
            taken=is_accepted(message.status),
        )
        first_ms = entry.first_ms if entry.first_ms is not None else self.now_ms - message.took_ms
        return replace(entry, first_ms=first_ms, log=(*entry.log, line))

    def judged(self, entry: OutboxEntry, message: Delivered) -> OutboxEntry:
        """Decide what an attempt's end leads to: delivered, failed for good, or pending with a next time."""
        now_ms = self.now_ms
        used = entry.attempts + 1
        if is_accepted(message.status):
            return replace(entry, attempts=used, state=DeliveryState.DELIVERED, next_ms=self._clock.unix_ms())
        following = self._schedule.next_attempt(
            used,
            entry.first_ms or now_ms,
            now_ms,
            retry_after_s=message.retry_after_s,
            jitter=self._random.random(),
        )
        if following is None or is_final(message.status, message.fault):
            return replace(entry, attempts=used, state=DeliveryState.FAILED, next_ms=self._clock.unix_ms())
        return replace(entry, attempts=following[0], next_ms=following[1])

    def accepted_after_s(self, entry: OutboxEntry, ended_ms: int) -> float | None:
        """Say how long after its job's end (Unix ms) a delivery was accepted; None where it was not, or had
        been over once and was asked for again.
        """
        again = entry.first_ms is not None and entry.log[0].at_ms < entry.first_ms
        if entry.state is not DeliveryState.DELIVERED or again:
            return None
        return max(0, entry.next_ms - ended_ms) / 1000

    async def record(self, entry: OutboxEntry) -> None:
        """Write a delivery's row; one that is pending is made when it is due."""
        await self._store.save_delivery(entry)
        self._counters.deliveries[entry.state] += 1
        if entry.state is DeliveryState.PENDING:
            self.schedule(entry)

    async def retry_unsigned(self, entry: OutboxEntry) -> None:
        """Put off an attempt whose secrets can't be read: nothing is sent unsigned."""
        first_ms = self.now_ms if entry.first_ms is None else entry.first_ms
        line = DeliveryAttempt(self._clock.unix_ms(), None, 0, _NO_SECRETS)
        failed = replace(entry, first_ms=first_ms, log=(*entry.log, line))
        await self.record(self.judged(failed, Delivered(entry.id, len(failed.log), None, 0)))

    async def fail_as_down(self, entry: OutboxEntry) -> None:
        """End a delivery whose receiver was down until its schedule was over."""
        now_ms = self._clock.unix_ms()
        line = DeliveryAttempt(now_ms, None, 0, _DOWN_ALL_THE_TIME)
        used = len(self._schedule.offsets_s)
        await self.record(
            replace(entry, state=DeliveryState.FAILED, attempts=used, next_ms=now_ms, log=(*entry.log, line))
        )

    async def fail_as_unreadable(self, job_id: JobId, index: int, why: str) -> None:
        """End a delivery whose job's row is damaged: nothing more is known of it than its id."""
        words = "a delivery of %s ends, for the job's row is damaged: %s"
        log.error(words, job_id, why, extra=about(job=job_id))
        now_ms = self._clock.unix_ms()
        entry = OutboxEntry(
            id=DeliveryId(f"msg_{job_id}_{index}"),
            job_id=job_id,
            customer=CustomerId(""),
            index=index,
            endpoint=TargetDomain(""),
            state=DeliveryState.FAILED,
            attempts=len(self._schedule.offsets_s),
            next_ms=now_ms,
            log=(DeliveryAttempt(now_ms, None, 0, f"not sent: {why}"),),
        )
        await self.record(entry)

    def _schedule_in(self, entry: OutboxEntry, delay_ms: int) -> None:
        due = self._clock.now() + delay_ms / 1000
        self._timers[entry.id] = self._clock.call_at(due, lambda: self._is_due(entry))

    def _is_due(self, entry: OutboxEntry) -> None:
        self._timers.pop(entry.id, None)
        self._due(entry)
