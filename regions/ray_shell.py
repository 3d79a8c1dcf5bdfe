"""The Ray shells of what runs in a region: an actor that attempts, and one that delivers.

Each is a mailbox and a heartbeat round a plain class.
"""

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from orchestrator.domain.ids import RegionName
from orchestrator.domain.routing import HEARTBEAT_EVERY_S
from orchestrator.ports.clock import SystemClock
from orchestrator.runtime.allocator import give_memory_back
from orchestrator.runtime.gc_tuning import spare_the_collector
from orchestrator.runtime.log_file import log_to
from orchestrator.runtime.open_files import raise_file_limit
from orchestrator.runtime.process_vitals import mailbox_vitals, process_vitals
from orchestrator.wire import names
from orchestrator.wire.codec import BatchReader, Header, decode_one, encode
from orchestrator.wire.local_link import LocalCaller
from orchestrator.wire.mailbox import Mailbox
from orchestrator.wire.messages import Deliver, Heartbeat, HeartbeatReply, JobResult, Message
from regions.clock_offset import ClockOffset, boot_id
from regions.egress.answer_room import AnswerRoom
from regions.egress.client import AiohttpEgress
from regions.executor import Executor, ShardLease
from regions.guard import AddressPolicy, parse_networks
from regions.ray_carrier import RayCarrier
from regions.webhooks import WebhookSender

REPLY_WITHIN_S = 1.0

log = logging.getLogger(__name__)


def make_egress(options: dict[str, Any], room: AnswerRoom | None = None) -> AiohttpEgress:
    """Build the HTTP client that the settings ask for; ``room`` is shared with what holds answers."""
    policy = AddressPolicy(
        allow_private=options["allow_private_targets"],
        allowed_networks=parse_networks(options["allow_targets"]),
    )
    return AiohttpEgress(policy, max_response_bytes=options["max_response_bytes"], room=room)


class ShardPeer:
    """What both actors share: an incarnation, a mailbox to the shard, and heartbeats to it.

    ``take`` is given each message that the shard sends.
    """

    def __init__(
        self, name: RegionName, actor_name: str, options: dict[str, Any], take: Callable[[Message], None]
    ) -> None:
        log_to(Path(options["log_file"]))
        raise_file_limit()
        self.incarnation = uuid.uuid4().hex
        self.clock = SystemClock()
        self._caller = LocalCaller(Path(options["socket"]), actor_name, self.receive)
        self.mailbox = Mailbox(self._caller.carrier(RayCarrier(names.SHARD)), Header(0, self.incarnation))
        self._take = take
        self.epoch = 0
        self._name = name
        self._reader = BatchReader()
        self._loop = asyncio.get_running_loop()
        self._beating = threading.Thread(target=self._beat_for_ever, name="heartbeat", daemon=True)
        self._hear: Callable[[HeartbeatReply, float, float], int] = lambda _reply, _sent, _now: 0
        self._places: Callable[[], int | None] = lambda: None

    def start(
        self,
        hear: Callable[[HeartbeatReply, float, float], int],
        places: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Begin to beat. ``hear`` takes each reply and says for which epoch this actor works now; ``places``
        says for how many attempts at once it has room.
        """
        spare_the_collector()
        give_memory_back()
        self._calling = self._loop.create_task(self._caller.keep_connected())
        self._hear = hear
        self._places = places
        self._beating.start()

    def receive(self, batch: bytes) -> None:
        """Take a batch; one for another incarnation, or from another shard epoch, is dropped."""
        header, messages = self._reader.read(batch)
        if header == Header(self.epoch, self.incarnation):
            for message in messages:
                self._take(message)

    def _beat_for_ever(self) -> None:
        # A thread of its own: a busy loop must not look like a dead region.
        pause = threading.Event()
        while True:
            sent = self.clock.now()
            changed = self._beat(sent)
            pause.wait(0.0 if changed else max(0.0, HEARTBEAT_EVERY_S - (self.clock.now() - sent)))

    def _beat(self, sent: float) -> bool:
        vitals = process_vitals() | mailbox_vitals(self.mailbox)
        beat = encode(Heartbeat(self._name, self.incarnation, self.epoch, vitals, self._places()))
        try:
            answer = ray.get(_shard().heartbeat.remote(beat), timeout=REPLY_WITHIN_S)
        except Exception as error:  # noqa: BLE001  # any failure is silence: the fence and the judge decide on that
            log.info("heartbeat unanswered: %s", type(error).__name__)
            return False
        reply = decode_one(answer)
        if not isinstance(reply, HeartbeatReply):
            return False
        heard = asyncio.run_coroutine_threadsafe(self._heard(reply, sent, self.clock.now()), self._loop)
        return heard.result(timeout=REPLY_WITHIN_S * 10)

    async def _heard(self, reply: HeartbeatReply, sent: float, received: float) -> bool:
        epoch = self._hear(reply, sent, received)
        changed = epoch != self.epoch
        if changed:
            self.epoch = epoch
            self.mailbox.readdress(Header(epoch, self.incarnation))
            if epoch:
                self.mailbox.knock()
        return changed


def make_sender(egress: AiohttpEgress, peer: ShardPeer, options: dict[str, Any]) -> WebhookSender:
    """Make what sends webhooks from here."""
    return WebhookSender(egress, peer.clock, peer.mailbox.post, places=options["webhook_places"])


class ExecutorActor:
    """A region's executor as a Ray actor."""

    async def __init__(self, region: str, options: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        self._peer = ShardPeer(RegionName(region), names.executor_name(region), options, self._take)
        clock, room = self._peer.clock, AnswerRoom()
        egress = make_egress(options, room)
        self._executor = Executor(egress, clock, self._peer.mailbox.post, room=room)
        # Webhooks that name this region leave from here: a process of their own would cost 60 MB a region.
        self._sender = make_sender(egress, self._peer, options)
        self._lease = ShardLease(self._executor, clock)
        self._offset = ClockOffset(boot_id())
        self._check()
        self._peer.start(self._hear, lambda: self._executor.places)

    async def deliver(self, batch: bytes) -> None:
        """Take a batch from a shard on another machine."""
        self._peer.receive(batch)

    def _take(self, message: Message) -> None:
        if isinstance(message, Deliver | JobResult):
            self._sender.receive(message)
        else:
            self._executor.receive(message)

    def _hear(self, reply: HeartbeatReply, sent: float, received: float) -> int:
        self._executor.clock_offset_s = self._offset.learn(reply, sent, received)
        self._lease.heard(reply.epoch, sent)
        return self._lease.epoch

    def _check(self) -> None:
        self._lease.check()
        asyncio.get_running_loop().call_later(HEARTBEAT_EVERY_S / 2, self._check)


class WebhookActor:
    """The webhook sender as a Ray actor."""

    async def __init__(self, name: str, options: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        self._peer = ShardPeer(RegionName(name), names.WEBHOOKS, options, self._take)
        self._sender = make_sender(make_egress(options), self._peer, options)
        self._peer.start(lambda reply, _sent, _received: reply.epoch)

    async def deliver(self, batch: bytes) -> None:
        """Take a batch from a shard on another machine."""
        self._peer.receive(batch)

    def _take(self, message: Message) -> None:
        self._sender.receive(message)


def _shard() -> Any:
    return ray.get_actor(names.SHARD, namespace=names.NAMESPACE)
