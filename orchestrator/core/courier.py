"""The outbox: every result reaches its receivers, tried again on a schedule that survives restarts.

The courier owns schedule, quorum, breakers, disk and signatures; the webhook actor, or a region's node where
the webhook names regions, sends.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.clock_steps import SteadyClock
from orchestrator.core.counters import Counters
from orchestrator.core.delivery_room import DeliveryRoom
from orchestrator.core.endpoints import Endpoint, Parcel, Turn
from orchestrator.core.peers import WEBHOOKS, PeerBook
from orchestrator.core.signing_secrets import SigningSecrets
from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.fanout import (
    NO_REGION,
    DeliveryAttempt,
    DeliveryOptions,
    DeliveryState,
    is_accepted,
    is_final,
    next_region,
    seems_down,
)
from orchestrator.domain.ids import CustomerId, DeliveryId, JobId, NodeAddress, RegionName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.signing import signature_headers
from orchestrator.domain.waiting import still_to_wait_ms
from orchestrator.messages.names import WEBHOOK_NODE
from orchestrator.messages.types import Deliver, Delivered, DeliverySigned, Headers, JobResult, NeedResult
from orchestrator.ports.clock import Clock, Timer
from orchestrator.ports.store import DamagedError, JobStore, OutboxEntry

EXPECT_WITHIN_S = 90.0
"""Longer than the sender's own limits: beyond it, its silence counts as a lost message."""
FAILURES_COUNT_FOR_S = 3_600.0
WAITING_BYTES = 16 * MIB
"""Results kept for deliveries that wait in line; those of the others are read again from disk."""
RETRIED_MOST = 16
"""Endpoints that are looked at again when room comes back, those that have waited longest first."""
_NO_SECRETS = "not sent: the stored webhook secrets can't be read, store them anew"
_DOWN_ALL_THE_TIME = "not sent: the receiver was down until the schedule was over"


log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Sent:
    """A delivery that a sender has: ``node`` is that one, ``tried`` the regions in this attempt."""

    parcel: Parcel
    turn: Turn
    endpoint: Endpoint
    secrets: tuple[str, ...]
    tried: tuple[RegionName, ...] = ()
    node: NodeAddress = WEBHOOK_NODE
    number: int = 0
    expected_by: float = 0.0

    @property
    def entry(self) -> OutboxEntry:
        """The delivery."""
        return self.parcel.entries[self.turn.index]

    @property
    def regions(self) -> tuple[RegionName, ...]:
        """The regions that its webhook names."""
        return self.parcel.webhooks[self.turn.index].regions


@dataclass(slots=True)
class _Asked:
    """What one sender waits for of a large result: signatures of deliveries, and perhaps the body."""

    deliveries: set[DeliveryId] = field(default_factory=set)
    body: bool = False


class _Stranded(Struct, frozen=True):
    """A delivery whose webhook names regions, none of which is up."""

    turn: Turn
    endpoint: TargetDomain
    regions: tuple[RegionName, ...]


class Courier:
    """Keeps what is pending, by endpoint; bodies only for what is being sent, and a bounded rest."""

    def __init__(
        self,
        store: JobStore,
        secrets: SigningSecrets,
        peers: PeerBook,
        clock: Clock,
        random: Random,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        counters: Counters,
        options: DeliveryOptions,
    ) -> None:
        self._store = store
        self._peers = peers
        self._clock = clock
        self.steady = SteadyClock(clock)
        """What deliveries are timed by: a clock that is set hastens none, and holds none up."""
        self._random = random
        self._spawn = spawn
        self._counters = counters
        self._options = options
        self._endpoints: dict[TargetDomain, Endpoint] = {}
        self._under_way: dict[DeliveryId, _Sent] = {}
        self._timers: dict[DeliveryId, Timer] = {}
        self._stranded: list[_Stranded] = []
        self._room = DeliveryRoom()
        self._without_room: dict[TargetDomain, None] = {}
        self._asked: dict[tuple[NodeAddress, JobId], _Asked] = {}
        self.secrets = secrets
        self._waiting_bytes = 0

    async def begin(self) -> Sequence[OutboxEntry]:
        """Take up what a restart found pending, and give it."""
        found = await self._store.outbox()
        for entry in found:
            # Written by another life, by whatever the clock said then.
            set_ms = entry.log[-1].at_ms if entry.log else entry.next_ms
            self._schedule_in(entry, still_to_wait_ms(entry.next_ms, set_ms, self._clock.unix_ms()))
        self._clock.call_at(self._clock.now() + EXPECT_WITHIN_S, self._sweep)
        return found

    def __len__(self) -> int:
        """Count the deliveries that senders have."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """Count the deliveries that wait for their endpoints, or for a region to leave from."""
        return sum(len(endpoint.line) for endpoint in self._endpoints.values()) + len(self._stranded)

    def take(
        self, job: Job, body: bytes, entries: Sequence[OutboxEntry], ours: Sequence[OutboxEntry]
    ) -> None:
        """Tell a job's receivers, all at once; the outbox is on disk by now. ``ours`` are this shard's."""
        parcel = Parcel.of(job, body, len(body), entries)
        for entry in ours:
            self._line_up(self._endpoint(entry.endpoint), self._turn(entry, parcel))

    def call_off(self, delivery: DeliveryId) -> bool:
        """Forget a delivery's next time; say whether it waited for one, and not in line or at a sender."""
        timer = self._timers.pop(delivery, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def resend(self, node: NodeAddress) -> None:
        """A sender lost what it had."""
        for delivery in [id_ for id_, sent in self._under_way.items() if sent.node == node]:
            self._send_again(delivery)

    def region_up(self, region: RegionName) -> None:
        """A region is heard: line up again what waits for it."""
        waiting, self._stranded = self._stranded, []
        for stranded in waiting:
            if region in stranded.regions:
                self._line_up(self._endpoint(stranded.endpoint), stranded.turn)
            else:
                self._stranded.append(stranded)

    def delivered(self, sender: NodeAddress, message: Delivered) -> None:
        """Take the end of one delivery attempt; another sender's counts for nothing."""
        sent = self._under_way.get(message.delivery)
        if sent is None or sent.number != message.attempt or sent.node != sender:
            return
        entry = self._noted(sent, message)
        sent.parcel.entries[entry.index] = entry
        unanswered = message.status is None and not is_final(None, message.fault)
        if unanswered and (region := next_region(sent.regions, sent.tried, self._peers.regions_up())):
            self._send(sent, region)
            return
        del self._under_way[message.delivery]
        sent.parcel.entries[entry.index] = entry = self._judge(entry, message)
        sent.endpoint.settle(sent.turn, self._clock.now(), down=seems_down(message.status))
        self._room.give_back(sent.turn)
        self._spawn(self._record(entry))
        self._give_up_in_line(sent.endpoint)
        self._pump(sent.endpoint)
        self._pump_those_without_room()

    def needs_result(self, sender: NodeAddress, message: NeedResult) -> None:
        """A sender is about to make a delivery of a large result: read that now, and sign it."""
        sent = self._under_way.get(message.delivery)
        if sent is None or sent.node != sender:
            return
        place = (sender, sent.turn.job_id)
        asked = self._asked.get(place)
        if asked is None:
            asked = self._asked[place] = _Asked()
            self._spawn(self._bring_result(*place))
        asked.deliveries.add(message.delivery)
        asked.body = asked.body or not message.has_body

    async def _bring_result(self, node: NodeAddress, job_id: JobId) -> None:
        try:
            body = await self._store.result(job_id)
        except DamagedError as error:
            await self._end_all_unreadable(job_id, str(error))
            return
        finally:
            asked = self._asked.pop((node, job_id))
        if body is None:
            return
        if asked.body:
            self._peers.post(node, JobResult(job_id, body))
        await self._sign_each(sorted(asked.deliveries), node, body)

    async def _sign_each(self, deliveries: Sequence[DeliveryId], node: NodeAddress, body: bytes) -> None:
        for delivery in deliveries:
            sent = self._under_way.get(delivery)
            if sent is not None and sent.node == node:
                signed = self._signed(sent, body)
                self._peers.post(node, DeliverySigned(delivery, sent.number, signed))
                # To digest five megabytes takes some ms, and twenty receivers may ask for it at once.
                await asyncio.sleep(0)

    def _signed(self, sent: _Sent, body: bytes) -> Headers:
        """Sign one delivery attempt, now: receivers refuse old signatures."""
        return signature_headers(body, sent.secrets, sent.entry.id, self._clock.unix_ms() // 1000)

    def _noted(self, sent: _Sent, message: Delivered) -> OutboxEntry:
        entry, now_ms = sent.entry, self._clock.unix_ms()
        region = NO_REGION if sent.node == WEBHOOK_NODE else sent.node.region
        self._counters.delivery_seconds.observe(message.took_ms / 1000)
        line = DeliveryAttempt(now_ms, message.status, message.took_ms, message.message, region)
        first_ms = entry.first_ms if entry.first_ms is not None else self.steady.unix_ms() - message.took_ms
        return replace(entry, first_ms=first_ms, log=(*entry.log, line))

    def _judge(self, entry: OutboxEntry, message: Delivered) -> OutboxEntry:
        now_ms = self.steady.unix_ms()
        used = entry.attempts + 1
        if is_accepted(message.status):
            return replace(entry, attempts=used, state=DeliveryState.DELIVERED, next_ms=self._clock.unix_ms())
        following = self._options.schedule.next_attempt(
            used,
            entry.first_ms or now_ms,
            now_ms,
            retry_after_s=message.retry_after_s,
            jitter=self._random.random(),
        )
        if following is None or is_final(message.status, message.fault):
            return replace(entry, attempts=used, state=DeliveryState.FAILED, next_ms=self._clock.unix_ms())
        return replace(entry, attempts=following[0], next_ms=following[1])

    async def _record(self, entry: OutboxEntry) -> None:
        await self._store.save_delivery(entry)
        self._counters.deliveries[entry.state] += 1
        if entry.state is DeliveryState.PENDING:
            self.schedule(entry)

    def schedule(self, entry: OutboxEntry) -> None:
        """Make a delivery when it is due, by the steady clock; it is on disk by now."""
        self._schedule_in(entry, max(0, entry.next_ms - self.steady.unix_ms()))

    def _schedule_in(self, entry: OutboxEntry, delay_ms: int) -> None:
        due = self._clock.now() + delay_ms / 1000
        self._timers[entry.id] = self._clock.call_at(due, lambda: self._due(entry))

    def _due(self, entry: OutboxEntry) -> None:
        self._timers.pop(entry.id, None)
        self._line_up(self._endpoint(entry.endpoint), self._turn(entry))

    def _turn(self, entry: OutboxEntry, parcel: Parcel | None = None) -> Turn:
        first_ms = entry.first_ms if entry.first_ms is not None else entry.next_ms
        over_ms = first_ms + self._options.schedule.lasts_ms
        body_bytes = 0 if parcel is None else parcel.body_bytes
        return Turn(entry.job_id, entry.customer, entry.index, over_ms, parcel, body_bytes)

    def _endpoint(self, name: TargetDomain) -> Endpoint:
        found = self._endpoints.get(name)
        if found is None:
            found = self._endpoints[name] = Endpoint(name, self._options.max_concurrent)
        return found

    def _line_up(self, endpoint: Endpoint, turn: Turn, *, first: bool = False) -> None:
        if turn.parcel is not None:
            self._waiting_bytes += turn.parcel.size
        if first:
            endpoint.line.appendleft(turn)
        else:
            endpoint.line.append(turn)
        self._pump(endpoint)
        if self._waiting_bytes > WAITING_BYTES and endpoint.line and endpoint.line[-1] is turn:
            self._let_go(turn)

    def _let_go(self, turn: Turn) -> None:
        """Forget what a delivery in line brings: it is on disk."""
        if turn.parcel is not None:
            self._waiting_bytes -= turn.parcel.size
            turn.parcel = None

    def _pump(self, endpoint: Endpoint) -> None:
        """Let out of the line what may go now."""
        now = self._clock.now()
        self._without_room.pop(endpoint.name, None)
        while endpoint.line and endpoint.has_room(now):
            turn = endpoint.start(self._room.fits)
            if turn is None:
                self._without_room[endpoint.name] = None
                break
            self._room.take(turn)
            if turn.parcel is not None:
                self._waiting_bytes -= turn.parcel.size
            self._begin_turn(endpoint, turn)
        probes_in_s = endpoint.probes_in_s(now)
        if endpoint.line and probes_in_s is not None and not endpoint.waking:
            endpoint.waking = True
            self._clock.call_at(now + probes_in_s, lambda: self._wake(endpoint))
        if endpoint.idle and self._endpoints.get(endpoint.name) is endpoint:
            del self._endpoints[endpoint.name]

    def _wake(self, endpoint: Endpoint) -> None:
        endpoint.waking = False
        self._pump(endpoint)

    def _pump_those_without_room(self) -> None:
        for name in list(islice(self._without_room, RETRIED_MOST)):
            self._pump(self._endpoint(name))

    def _give_back(self, endpoint: Endpoint, turn: Turn) -> None:
        """It did not go, or nobody knows how it went."""
        endpoint.give_back(turn)
        self._room.give_back(turn)

    def _begin_turn(self, endpoint: Endpoint, turn: Turn) -> None:
        secrets = self.secrets.known(turn.customer)
        if turn.parcel is not None and secrets is not None:
            self._dispatch(endpoint, turn, turn.parcel, secrets)
        else:
            self._spawn(self._load_and_dispatch(endpoint, turn))

    async def _load_and_dispatch(self, endpoint: Endpoint, turn: Turn) -> None:
        parcel = turn.parcel or await self._read(turn)
        secrets = None if parcel is None else await self._secrets_for(turn, parcel)
        if parcel is None or secrets is None:
            self._give_back(endpoint, turn)
        elif turn.parcel is None and not self._has_room_for(turn, parcel):
            endpoint.give_back(turn)
            turn.parcel = parcel
            self._line_up(endpoint, turn, first=True)
        else:
            self._dispatch(endpoint, turn, parcel, secrets)
        self._pump(endpoint)

    def _has_room_for(self, turn: Turn, parcel: Parcel) -> bool:
        """Count a delivery as large as it has turned out to be, if there is room for that."""
        self._room.give_back(turn)
        turn.body_bytes = parcel.body_bytes
        if not self._room.fits(turn):
            return False
        self._room.take(turn)
        return True

    async def _read(self, turn: Turn) -> Parcel | None:
        """Read what is to be delivered; None where nothing is, or it can't be read: that delivery is over."""
        try:
            stored = await self._store.look(turn.job_id)
        except DamagedError as error:
            await self._end_unreadable(turn, str(error))
            return None
        if stored is not None and stored.damage is not None and not stored.result_bytes:
            await self._end_unreadable(turn, stored.damage)
        if stored is None or not stored.result_bytes or turn.index >= len(stored.deliveries):
            return None
        return Parcel.of(stored.job, stored.result, stored.result_bytes, stored.deliveries)

    async def _end_all_unreadable(self, job_id: JobId, why: str) -> None:
        """End what senders have of a job whose result they wait for in vain."""
        for delivery in [id_ for id_, sent in self._under_way.items() if sent.turn.job_id == job_id]:
            sent = self._under_way.pop(delivery)
            self._give_back(sent.endpoint, sent.turn)
            await self._end_unreadable(sent.turn, why)
            self._pump(sent.endpoint)

    async def _end_unreadable(self, turn: Turn, why: str) -> None:
        log.error("a delivery of %s ends, for the job's row is damaged: %s", turn.job_id, why)
        now_ms = self._clock.unix_ms()
        entry = OutboxEntry(
            id=DeliveryId(f"msg_{turn.job_id}_{turn.index}"),
            job_id=turn.job_id,
            customer=CustomerId(""),
            index=turn.index,
            endpoint=TargetDomain(""),
            state=DeliveryState.FAILED,
            attempts=len(self._options.schedule.offsets_s),
            next_ms=now_ms,
            log=(DeliveryAttempt(now_ms, None, 0, f"not sent: {why}"),),
        )
        await self._record(entry)

    async def _secrets_for(self, turn: Turn, parcel: Parcel) -> tuple[str, ...] | None:
        """Read what to sign with. Where that can't be read nothing is sent unsigned: it is tried again later,
        when there may be new secrets.
        """
        try:
            return await self.secrets.of(turn.customer)
        except DamagedError as error:
            log.warning("the webhook secrets of %s are damaged: %s", turn.customer, error)
        entry = parcel.entries[turn.index]
        first_ms = self.steady.unix_ms() if entry.first_ms is None else entry.first_ms
        line = DeliveryAttempt(self._clock.unix_ms(), None, 0, _NO_SECRETS)
        failed = replace(entry, first_ms=first_ms, log=(*entry.log, line))
        await self._record(self._judge(failed, Delivered(entry.id, len(failed.log), None, 0)))
        return None

    def _dispatch(self, endpoint: Endpoint, turn: Turn, parcel: Parcel, secrets: tuple[str, ...]) -> None:
        entry = parcel.entries[turn.index]
        if entry.state is not DeliveryState.PENDING or entry.id in self._under_way:
            self._give_back(endpoint, turn)
            return
        sent = _Sent(parcel=parcel, turn=turn, endpoint=endpoint, secrets=secrets)
        peer = self._first_peer(sent.regions)
        if peer is None:
            self._strand(sent)
        else:
            self._under_way[entry.id] = sent
            self._send(sent, peer)

    def _strand(self, sent: _Sent) -> None:
        """Keep a delivery out of its endpoint's line, as an index entry, until it can leave."""
        self._give_back(sent.endpoint, sent.turn)
        sent.turn.parcel = None
        self._stranded.append(_Stranded(sent.turn, sent.endpoint.name, sent.regions))

    def _send(self, sent: _Sent, region: RegionName) -> None:
        entry = sent.entry
        sent.node = self._peers.peer(region).address
        sent.tried = (*sent.tried, region)
        sent.number = len(entry.log) + 1
        sent.expected_by = self._clock.now() + EXPECT_WITHIN_S
        parcel, job_id = sent.parcel, sent.turn.job_id
        url = parcel.webhooks[entry.index].url
        headers = () if parcel.body is None else self._signed(sent, parcel.body)
        self._peers.post(sent.node, Deliver(entry.id, sent.number, url, parcel.body, headers, job_id))

    def _first_peer(self, regions: tuple[RegionName, ...]) -> RegionName | None:
        """Choose who sends; None while none of the regions is up."""
        if not any(self._peers.knows(region) for region in regions):
            return WEBHOOKS
        return next_region(regions, (), self._peers.regions_up())

    def _give_up_in_line(self, endpoint: Endpoint) -> None:
        """End what has waited behind an open breaker until its schedule was over."""
        while endpoint.line and endpoint.is_open and endpoint.line[0].over_ms <= self.steady.unix_ms():
            turn = endpoint.line.popleft()
            self._let_go(turn)
            self._spawn(self._give_up(turn))

    async def _give_up(self, turn: Turn) -> None:
        parcel = await self._read(turn)
        entry = parcel.entries[turn.index] if parcel is not None else None
        if entry is not None and entry.state is DeliveryState.PENDING:
            now_ms = self._clock.unix_ms()
            line = DeliveryAttempt(now_ms, None, 0, _DOWN_ALL_THE_TIME)
            used = len(self._options.schedule.offsets_s)
            over = replace(
                entry, state=DeliveryState.FAILED, attempts=used, next_ms=now_ms, log=(*entry.log, line)
            )
            await self._record(over)

    def _sweep(self) -> None:
        now = self._clock.now()
        for delivery in [id_ for id_, sent in self._under_way.items() if now > sent.expected_by]:
            self._send_again(delivery)
        for endpoint in list(self._endpoints.values()):
            endpoint.forget(now, FAILURES_COUNT_FOR_S)
            self._pump(endpoint)
        self._clock.call_at(now + EXPECT_WITHIN_S / 3, self._sweep)

    def _send_again(self, delivery: DeliveryId) -> None:
        sent = self._under_way.pop(delivery)
        self._give_back(sent.endpoint, sent.turn)
        sent.turn.parcel = sent.parcel
        self._line_up(sent.endpoint, sent.turn, first=True)
