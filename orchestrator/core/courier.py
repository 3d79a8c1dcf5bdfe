"""The outbox: every result reaches its receivers, tried again on a schedule that survives restarts.

The courier owns schedule, quorum and disk; the webhook actor signs and sends.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from orchestrator.core.tally import Tally
from orchestrator.domain.fanout import DeliveryState, next_attempt_ms
from orchestrator.domain.ids import CustomerId, DeliveryId, JobId
from orchestrator.domain.job import Job
from orchestrator.domain.signals import retry_after_s
from orchestrator.ports.clock import Clock, utc
from orchestrator.ports.links import RegionLink
from orchestrator.ports.store import OutboxEntry, Store
from orchestrator.wire.messages import Deliver, Delivered

EXPECT_WITHIN_S = 90.0
"""Longer than the webhook actor's own limits: beyond it, its silence counts as a lost message."""


@dataclass(slots=True)
class Parcel:
    """One job's result on its way to all its receivers."""

    job: Job
    body: bytes
    entries: list[OutboxEntry]
    sending: int = 0


class Courier:
    """Keeps what is pending, by delivery id; bodies only for what is being sent."""

    def __init__(
        self,
        store: Store,
        link: RegionLink,
        clock: Clock,
        random: Random,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        tally: Tally,
    ) -> None:
        self._store = store
        self._link = link
        self._clock = clock
        self._random = random
        self._spawn = spawn
        self._tally = tally
        self._parcels: dict[JobId, Parcel] = {}
        self._under_way: dict[DeliveryId, tuple[JobId, int, float]] = {}
        self._secrets: dict[CustomerId, tuple[str, ...]] = {}

    async def begin(self) -> None:
        """Take up what a restart found pending."""
        for entry in await self._store.outbox():
            self._schedule(entry)
        self._clock.call_at(self._clock.now() + EXPECT_WITHIN_S, self._sweep)

    def __len__(self) -> int:
        """Count the deliveries that the webhook actor has."""
        return len(self._under_way)

    def take(self, job: Job, body: bytes, entries: Sequence[OutboxEntry]) -> None:
        """Tell a job's receivers, all at once; the outbox is on disk by now."""
        if entries:
            parcel = Parcel(job, body, list(entries))
            self._parcels[job.id] = parcel
            self._spawn(self._send_all(parcel))

    def forget_secrets(self, customer: CustomerId) -> None:
        """A customer's secrets changed: read them anew."""
        self._secrets.pop(customer, None)

    def resend(self) -> None:
        """The webhook actor lost what it had."""
        for delivery in list(self._under_way):
            self._send_again(delivery)

    def delivered(self, message: Delivered) -> None:
        """Take the end of one delivery attempt."""
        found = self._under_way.get(message.delivery)
        parcel = found and self._parcels.get(found[0])
        if found is None or parcel is None:
            return
        entry = parcel.entries[found[1]]
        if entry.attempts + 1 == message.attempt:
            del self._under_way[message.delivery]
            # At once: until the entry says so, its attempt would look as if nobody had made it.
            parcel.entries[entry.index] = tried = self._judge(entry, message)
            self._spawn(self._record(parcel, tried))

    def _judge(self, entry: OutboxEntry, message: Delivered) -> OutboxEntry:
        now_ms = self._clock.unix_ms()
        made = entry.attempts + 1
        first_ms = entry.first_ms if entry.first_ms is not None else now_ms - message.took_ms
        line = (now_ms, message.status, message.took_ms, message.message)
        tried = replace(entry, attempts=made, first_ms=first_ms, log=(*entry.log, line))
        if message.status is not None and 200 <= message.status < 300:  # noqa: PLR2004  # 2xx is acceptance
            return replace(tried, state=DeliveryState.DELIVERED)
        again_ms = next_attempt_ms(
            made,
            first_ms,
            now_ms,
            status=message.status,
            retry_after_s=retry_after_s({"retry-after": message.retry_after}, utc(self._clock)),
            jitter=self._random.random(),
        )
        if again_ms is None:
            return replace(tried, state=DeliveryState.FAILED)
        return replace(tried, next_ms=again_ms)

    async def _record(self, parcel: Parcel, entry: OutboxEntry) -> None:
        await self._store.save_delivery(entry)
        self._tally.deliveries[entry.state] += 1
        if entry.state is DeliveryState.PENDING:
            self._schedule(entry)
        parcel.sending -= 1
        self._put_away(parcel)

    def _put_away(self, parcel: Parcel) -> None:
        if not parcel.sending and self._parcels.get(parcel.job.id) is parcel:
            del self._parcels[parcel.job.id]

    def _schedule(self, entry: OutboxEntry) -> None:
        delay_s = max(0, entry.next_ms - self._clock.unix_ms()) / 1000
        self._clock.call_at(
            self._clock.now() + delay_s, lambda: self._spawn(self._attempt(entry.job_id, entry.index))
        )

    async def _send_all(self, parcel: Parcel) -> None:
        for entry in list(parcel.entries):
            await self._attempt(entry.job_id, entry.index)

    async def _attempt(self, job_id: JobId, index: int) -> None:
        parcel = self._parcels.get(job_id) or await self._open(job_id)
        if parcel is None:
            return
        entry = parcel.entries[index]
        if entry.state is not DeliveryState.PENDING or entry.id in self._under_way:
            self._put_away(parcel)
            return
        expected_by = self._clock.now() + EXPECT_WITHIN_S
        self._under_way[entry.id] = (job_id, index, expected_by)
        parcel.sending += 1
        secrets = await self._secrets_of(parcel.job.customer)
        url = parcel.job.spec.webhooks[index].url
        self._link.post(Deliver(entry.id, entry.attempts + 1, url, parcel.body, secrets))

    async def _open(self, job_id: JobId) -> Parcel | None:
        stored = await self._store.load(job_id)
        if stored is None or stored.result is None:
            return None
        parcel = Parcel(stored.job, stored.result, list(stored.deliveries))
        return self._parcels.setdefault(job_id, parcel)

    async def _secrets_of(self, customer: CustomerId) -> tuple[str, ...]:
        known = self._secrets.get(customer)
        if known is None:
            stored = await self._store.secrets(customer)
            known = self._secrets[customer] = stored.in_force if stored else ()
        return known

    def _sweep(self) -> None:
        now = self._clock.now()
        for delivery in [id_ for id_, found in self._under_way.items() if now > found[2]]:
            self._send_again(delivery)
        self._clock.call_at(now + EXPECT_WITHIN_S / 3, self._sweep)

    def _send_again(self, delivery: DeliveryId) -> None:
        job_id, index, _ = self._under_way.pop(delivery)
        if (parcel := self._parcels.get(job_id)) is not None:
            parcel.sending -= 1
        self._spawn(self._attempt(job_id, index))
