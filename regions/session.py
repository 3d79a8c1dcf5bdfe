"""What a region's node has with one shard."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec import Struct, field

from orchestrator.domain.health.routing import HEARTBEAT_EVERY_S
from orchestrator.domain.ids import ShardName
from orchestrator.messages.codec import BatchReader, Header, decode_one, encode
from orchestrator.messages.types import Deliver, DeliverySigned, Heartbeat, HeartbeatReply, JobResult, Message
from orchestrator.ports.clock import Clock
from orchestrator.ports.egress import Egress
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.transport import ShardTransport
from orchestrator.runtime.open_files import files_left
from orchestrator.runtime.process_vitals import Vitals, mailbox_vitals
from orchestrator.transport.mailbox import Mailbox
from regions.clock_offset import ClockOffset
from regions.egress.answer_room import AnswerRoom
from regions.executor import Executor, ShardLease
from regions.webhooks import WebhookSender

REPLY_WITHIN_S = 1.0

Enter = Callable[[Callable[[], bool]], Awaitable[bool]]
"""Runs something in the node's loop, for its heart in another, and gives the result."""

log = logging.getLogger(__name__)


class NodeParts(Struct, frozen=True, kw_only=True):
    """What a region's node stands on.

    Args:
        incarnation: This life of it: no other has that.
        boot_id: This boot of its machine (``clock_offset.boot_id``).
        clock: Time on that machine.
        transport: The way to the shards.
        targets: The HTTP client for attempts.
        receivers: The HTTP client for webhooks; the two may be one.
        room: Where answers are counted; ``targets`` may share it.
        webhook_places: Webhooks at once to one receiver.
        vitals: Measures the process, for the metrics.
        count_files_left: Counts the files, connections included, that the process could open still.
    """

    incarnation: str
    boot_id: str
    clock: Clock
    transport: ShardTransport
    targets: Egress
    receivers: Egress
    room: AnswerRoom = field(default_factory=AnswerRoom)
    webhook_places: int = 32
    vitals: Callable[[], Vitals] = dict
    count_files_left: Callable[[], int] = files_left


class ShardSession(AsyncCloseable):
    """A shard's epoch, its lease on this node, its clock, a mailbox to it, and what is done for it here."""

    def __init__(
        self,
        shard: ShardName,
        parts: NodeParts,
        *,
        credit: Callable[[], int],
        count_files_left: Callable[[], int],
    ) -> None:
        self._shard = shard
        self._credit = credit
        self._parts = parts
        self._reader = BatchReader()
        self.mailbox = Mailbox(parts.transport.carrier(shard), Header(0, parts.incarnation))
        report, clock = self.mailbox.post, parts.clock
        self.executor = Executor(
            parts.targets,
            clock,
            report,
            report_large=self.mailbox.post,
            count_files_left=count_files_left,
            room=parts.room,
        )
        self._sender = WebhookSender(parts.receivers, clock, report, places=parts.webhook_places)
        self._lease = ShardLease(self.executor, clock)
        self._offset = ClockOffset(parts.boot_id)
        self.epoch = 0
        self._beats = 0

    def receive(self, batch: bytes) -> None:
        """Take a batch; one for another incarnation, or from another epoch of the shard, is dropped."""
        header, messages = self._reader.read(batch)
        if header == Header(self.epoch, self._parts.incarnation):
            for message in messages:
                self._take(message)

    def check(self) -> None:
        """Close what is under way if the shard has been silent for too long; its answers go later."""
        self._lease.check()
        if self._lease.lapsed_for_long:
            self.executor.drop_answers()
            self.mailbox.drop_large()

    async def beat_for_ever(self, enter: Enter) -> None:
        """Beat for this shard, in the heart's loop; never returns."""
        clock = self._parts.clock
        while True:
            sent = clock.now()
            changed = await self._beat(enter)
            # A shard that is new to this node is told at once that its epoch is known here.
            if not changed:
                await asyncio.sleep(max(0.0, HEARTBEAT_EVERY_S - (clock.now() - sent)))

    async def say_last_words(self, within_s: float) -> None:
        """End every attempt, and let the shard hear of that, at most so long: they go elsewhere at once."""
        self.executor.fence()
        deadline = asyncio.get_running_loop().time() + within_s
        while len(self.executor) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  # ends report themselves, and share no event
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)

    async def close(self) -> None:
        """End what is done for the shard, the clients too, and say nothing more to it."""
        await self._sender.close()
        await self.executor.close()
        await self.mailbox.close()

    async def _beat(self, enter: Enter) -> bool:
        parts = self._parts
        sent, lease_from = parts.clock.now(), parts.clock.boot_s()
        try:
            async with asyncio.timeout(REPLY_WITHIN_S):
                answer = await parts.transport.heartbeat(self._shard, self._heartbeat())
        except Exception as error:  # noqa: BLE001  # any failure is silence: the fence and the judge decide on that
            log.info("heartbeat unanswered: %s", type(error).__name__)
            return False
        reply, received = decode_one(answer), parts.clock.now()
        if not isinstance(reply, HeartbeatReply):
            return False
        return await enter(lambda: self._heard(reply, sent, received, lease_from))

    def _heartbeat(self) -> bytes:
        parts = self._parts
        vitals = parts.vitals() | mailbox_vitals(self.mailbox)
        places = min(self._credit(), self.executor.places)
        self._beats += 1
        silence_s = self._lease.silence_s
        return encode(Heartbeat(parts.incarnation, self.epoch, vitals, places, silence_s, self._beats))

    def _heard(self, reply: HeartbeatReply, sent: float, received: float, lease_from: float) -> bool:
        """Take a reply; say whether this node works for another epoch of the shard from now on."""
        self.executor.clock_offset_s = self._offset.learn(reply, sent, received)
        self._lease.heard(reply.epoch, lease_from, reply.lease_s)
        changed = self._lease.epoch != self.epoch
        if changed:
            self.epoch = self._lease.epoch
            # The rest of what an earlier epoch began to send comes no more.
            self._reader.forget()
            self.mailbox.readdress(Header(self.epoch, self._parts.incarnation))
            if self.epoch:
                self.mailbox.knock()
        return changed

    def _take(self, message: Message) -> None:
        if isinstance(message, Deliver | JobResult | DeliverySigned):
            self._sender.receive(message)
        else:
            self.executor.receive(message)
