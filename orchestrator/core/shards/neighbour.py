"""Another shard: what this one's jobs have at its targets, and what its jobs have at this one's.

Each way has a session of its own, which the jobs' shard opens by beating. Its messages bear both epochs and
the session's number, so that none of them outlives either.
"""

import asyncio
import logging
from collections.abc import Callable

from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.core.shards.remote_jobs import RemoteJobs
from orchestrator.core.shards.remote_targets import RemoteTargets
from orchestrator.core.shards.session_messages import Order, Report, SessionReceiver, SessionSender, StepName
from orchestrator.domain.health.routing import HEARTBEAT_EVERY_S, SELF_FENCE_AFTER_S
from orchestrator.domain.ids import ShardName
from orchestrator.messages.codec import Header, WireError, decode_one, encode
from orchestrator.messages.types import Message, ShardHeartbeat, ShardHeartbeatReply
from orchestrator.ports.clock import Clock
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.targets import Jobs, Targets
from orchestrator.ports.transport import ShardTransport
from orchestrator.transport.mailbox import Mailbox

ANSWER_WITHIN_S = 1.0

log = logging.getLogger(__name__)


class OutgoingSession(AsyncCloseable):
    """The session of this shard's jobs with the other's targets. This side keeps it: it beats.

    Args:
        name: The other shard.
        transport: The way there.
        clock: Time.
        lease_left_s: For how long this shard may still act. Without a lease it keeps no session: its jobs may
            be another's before long, and what they have elsewhere is taken back by then.
    """

    def __init__(
        self,
        name: ShardName,
        transport: ShardTransport,
        clock: Clock,
        lease_left_s: Callable[[], float],
    ) -> None:
        self._lease_left_s = lease_left_s
        self._name = name
        self._transport = transport
        self._clock = clock
        self._sender = SessionSender(mailbox := Mailbox(transport.carrier(name), Header(0, "")))
        self._mailbox = mailbox
        self.targets = RemoteTargets(self._sender)
        self._receiver = SessionReceiver()
        self._epoch = self._far_epoch = 0
        self._session = 1
        self._beats = 0

    def begin(self, epoch: int, jobs: Jobs) -> None:
        """Begin a life of this shard, whose ``jobs`` are told from now on."""
        self._epoch = epoch
        self.targets.begin(jobs)

    async def beat_for_ever(self) -> None:
        """Keep the session; never returns."""
        while True:
            sent = self._clock.now()
            if self._lease_left_s() <= 0 or not await self._beat():
                await asyncio.sleep(max(0.0, HEARTBEAT_EVERY_S - (self._clock.now() - sent)))

    def receive(self, header: Header, messages: list[Message]) -> None:
        """Take what the other shard's targets report in this session; what is of another is dropped."""
        if self._sender.open and header == reports_header(self._epoch, self._far_epoch, self._session):
            for message in messages:
                for record in self._receiver.receive(message):
                    if not isinstance(record, Report):
                        raise _misplaced(record)
                    self.targets.receive(record)

    async def close(self) -> None:
        """Drop what waits."""
        await self._mailbox.close()

    async def _beat(self) -> bool:
        """Beat once; say whether to beat again at once: another session has to be opened."""
        self._beats += 1
        beat = ShardHeartbeat(self._epoch, self._session, self._beats)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = decode_one(await self._transport.heartbeat(self._name, encode(beat)))
        except Exception as error:  # noqa: BLE001  # any failure is silence: the other side decides on that
            log.info("shard %s does not answer: %s", self._name, type(error).__name__)
            return False
        return isinstance(answer, ShardHeartbeatReply) and self._answered(answer)

    def _answered(self, reply: ShardHeartbeatReply) -> bool:
        if reply.epoch < self._far_epoch:
            return False
        if reply.session != self._session:
            self._lose()
            self._session += 1
            return True
        if reply.epoch != self._far_epoch:
            self._lose()
            self._far_epoch = reply.epoch
        if not self._sender.open:
            self._receiver = SessionReceiver()
            self._sender.begin(orders_header(self._epoch, self._far_epoch, self._session))
            self.targets.line_up_anew()
        return False

    def _lose(self) -> None:
        if self._sender.open:
            self._sender.end()
            self.targets.session_lost()


class IncomingSession(AsyncCloseable):
    """The session of the other shard's jobs with this one's targets. The other side keeps it: where it is
    silent, or nothing arrives there, all that its jobs have here is taken back, as a region's node does with
    what a silent shard has there.

    Args:
        name: The other shard.
        transport: The way there.
        targets: This shard's.
        homes: Whose steps are at work here.
        clock: Time.
    """

    def __init__(
        self,
        name: ShardName,
        transport: ShardTransport,
        targets: Targets,
        homes: dict[StepName, Jobs],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._sender = SessionSender(mailbox := Mailbox(transport.carrier(name), Header(0, "")))
        self._mailbox = mailbox
        self.jobs = RemoteJobs(targets, self._sender, homes)
        self._receiver = SessionReceiver()
        self._epoch = self._far_epoch = self._session = self._beats = 0
        self._heard_at = float("-inf")

    def begin(self, epoch: int, newcomers: Newcomers) -> None:
        """Begin a life of this shard, and watch for silence from now on."""
        self._epoch = epoch
        self.jobs.begin(newcomers)
        self._watch()

    def beat(self, beat: ShardHeartbeat) -> ShardHeartbeatReply:
        """Take a heartbeat; one that a later one has overtaken opens and keeps nothing."""
        if (beat.epoch, beat.number) > (self._far_epoch, self._beats):
            known = (self._far_epoch, self._session)
            self._far_epoch, self._beats = beat.epoch, beat.number
            if (beat.epoch, beat.session) > known:
                self._open(beat.session)
            self._heard_at = self._clock.now()
        return ShardHeartbeatReply(self._epoch, self._session if self._sender.open else 0)

    def receive(self, header: Header, messages: list[Message]) -> None:
        """Take what the other shard's jobs order in this session; what is of another is dropped."""
        if self._sender.open and header == orders_header(self._far_epoch, self._epoch, self._session):
            for message in messages:
                for record in self._receiver.receive(message):
                    if not isinstance(record, Order):
                        raise _misplaced(record)
                    self.jobs.receive(record)

    async def close(self) -> None:
        """Drop what waits."""
        await self._mailbox.close()

    def _open(self, session: int) -> None:
        self.jobs.end()
        self._session = session
        self._receiver = SessionReceiver()
        self._sender.begin(reports_header(self._far_epoch, self._epoch, session))

    def _watch(self) -> None:
        now = self._clock.now()
        silent = now - self._heard_at > SELF_FENCE_AFTER_S or self._mailbox.stuck_s() > SELF_FENCE_AFTER_S
        if self._sender.open and silent:
            log.warning("a neighbouring shard is silent: what its jobs have here is taken back")
            self.jobs.end()
        self._clock.call_at(now + HEARTBEAT_EVERY_S / 2, self._watch)


def orders_header(jobs_epoch: int, targets_epoch: int, session: int) -> Header:
    """Name both ends of orders."""
    return Header(targets_epoch, f"orders {jobs_epoch:x}.{session:x}")


def reports_header(jobs_epoch: int, targets_epoch: int, session: int) -> Header:
    """Name both ends of reports."""
    return Header(jobs_epoch, f"reports {targets_epoch:x}.{session:x}")


def _misplaced(record: object) -> WireError:
    return WireError(f"{type(record).__name__} is for the other side to send")
