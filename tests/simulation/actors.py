"""The real actors in simulated processes, wired as their Ray shells wire them.

``PeerHost`` does what ``regions.ray_shell.ShardPeer`` does, ``ShardHost`` what
``orchestrator.adapters.ray.node.ShardNode`` does; only Ray is left out.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.intake import Intake
from orchestrator.core.peers import WEBHOOKS
from orchestrator.core.shard import Shard, ShardOptions
from orchestrator.core.supervisor import JobSupervisor
from orchestrator.core.views import Acknowledgement, KnownAlready
from orchestrator.domain.course import run_of, step_of
from orchestrator.domain.fanout import DeliveryOptions
from orchestrator.domain.ids import AttemptId, CustomerId, JobId, RegionName, target_domain
from orchestrator.domain.job import JobSpec
from orchestrator.domain.known_domains import KnownDomains
from orchestrator.domain.routing import HEARTBEAT_EVERY_S
from orchestrator.domain.run import find_attempt
from orchestrator.domain.submission_bounds import SubmissionBounds
from orchestrator.wire.codec import BatchReader, Header, decode_one, encode
from orchestrator.wire.mailbox import Mailbox
from orchestrator.wire.messages import (
    AttemptDone,
    Deliver,
    GoAttempt,
    Heartbeat,
    HeartbeatReply,
    JobResult,
    Message,
    RunAttempt,
)
from regions.clock_offset import ClockOffset
from regions.executor import Executor, ShardLease
from regions.webhooks import WebhookSender
from tests.simulation.disk import Disk, DiskHandle
from tests.simulation.history import AnswerHeard, Grant, History, ShardBegan
from tests.simulation.network import CallError, Endpoint, Find, Network
from tests.simulation.outside import (
    GARBAGE,
    HEADER_CONCURRENT,
    HEADER_RPS,
    Outside,
    ReceiverEgress,
    TargetEgress,
)
from tests.simulation.scenario import Scenario
from tests.simulation.schedule import SHORT_SCHEDULE
from tests.simulation.specs import EPOCH_MS
from tests.support.virtual_loop import VirtualClock, VirtualLoop

STRICT_DOWN_S = 2.0
"""Cuts last for seconds here."""
REPLY_WITHIN_S = 1.0
"""As in ``regions.ray_shell``."""
SHARD_BOOT_ID = "the shard's machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What every actor of a run stands on."""

    loop: VirtualLoop
    scenario: Scenario
    history: History
    network: Network
    outside: Outside
    disk: Disk
    find_shard: Find
    find_shard_heart: Find
    find_peer: Callable[[RegionName], Endpoint | None]

    def random(self, name: str) -> Random:
        """Make a stream of its own, so that one actor's draws do not shift another's."""
        return Random(f"{name} {self.scenario.seed}")


class PeerHost:
    """An incarnation, a mailbox to the shard, and heartbeats to it."""

    def __init__(self, stage: Stage, name: RegionName, life: int) -> None:
        self._stage = stage
        self.name = name
        self.process = stage.loop.process(f"{name} {life}")
        self._heart = stage.loop.process(f"{name} {life}, its heart")
        self.incarnation = f"{name}.{life}"
        machine = (*stage.scenario.regions, WEBHOOKS).index(name)
        skew_s = stage.scenario.skews_s[machine]
        self.clock = VirtualClock(stage.loop, epoch_ms=EPOCH_MS, skew_s=skew_s)
        self.boot_id = SHARD_BOOT_ID if skew_s == 0.0 else f"the machine of {name}"
        self.mailbox = Mailbox(self._carry, Header(0, self.incarnation))
        self.epoch = 0
        self._reader = BatchReader()

    def begin(self) -> None:
        """Start to beat."""
        self._heart.spawn(self._beat_for_ever())

    def serve(self, batch: bytes) -> None:
        """Take a batch from the shard."""
        for message in self.open(batch):
            self.receive(message)

    def open(self, batch: bytes) -> list[Message]:
        """Read a batch; one for another incarnation, or from another shard epoch, is empty."""
        header, messages = self._reader.read(batch)
        if header == Header(self.epoch, self.incarnation):
            return messages
        self._stage.history.counts["stale batch at a peer"] += 1
        return []

    def receive(self, message: Message) -> None:
        """Take one message."""
        raise TypeError(type(message).__name__)

    def hear(self, reply: HeartbeatReply, sent: float, received: float) -> int:
        """Take a reply; say for which epoch this actor works now."""
        raise TypeError(type(reply).__name__)

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self._heart.kill()

    async def _carry(self, batch: bytes) -> None:
        stage = self._stage
        await stage.network.call(self.process, stage.find_shard, self.name, batch, to_shard=True)

    async def _beat_for_ever(self) -> None:
        while True:
            sent = self.clock.now()
            changed = await self._beat(sent)
            if not changed:
                await asyncio.sleep(max(0.0, HEARTBEAT_EVERY_S - (self.clock.now() - sent)))

    async def _beat(self, sent: float) -> bool:
        stage = self._stage
        beat = encode(Heartbeat(self.name, self.incarnation, self.epoch))
        try:
            async with asyncio.timeout(REPLY_WITHIN_S):
                answer = await stage.network.call(
                    self._heart, stage.find_shard_heart, self.name, beat, to_shard=True
                )
        except (TimeoutError, CallError):
            return False
        reply = decode_one(answer or b"")
        if not isinstance(reply, HeartbeatReply):
            return False
        # In production the heart is a thread, and waits for the loop; here a future stands between the two.
        heard: asyncio.Future[bool] = stage.loop.create_future()
        received = self.clock.now()
        self.process.call_soon(lambda: self._pass_on(heard, self._heard(reply, sent, received)))
        return await heard

    def _pass_on(self, heard: "asyncio.Future[bool]", changed: bool) -> None:
        self._heart.call_soon(heard.set_result, changed)

    def _heard(self, reply: HeartbeatReply, sent: float, received: float) -> bool:
        epoch = self.hear(reply, sent, received)
        changed = epoch != self.epoch
        if changed:
            self.epoch = epoch
            self.mailbox.readdress(Header(epoch, self.incarnation))
            if epoch:
                self.mailbox.knock()
        return changed


class ExecutorHost(PeerHost):
    """As ``regions.ray_shell.ExecutorActor``."""

    def __init__(self, stage: Stage, name: RegionName, life: int) -> None:
        super().__init__(stage, name, life)
        self.egress = TargetEgress(stage.outside, name)
        self.executor = Executor(self.egress, self.clock, self._report)
        self._sender = WebhookSender(ReceiverEgress(stage.outside), self.clock, self._report)
        self._lease = ShardLease(self.executor, self.clock)
        self._offset = ClockOffset(self.boot_id)
        self.process.call_soon(self._check)
        self.begin()

    def receive(self, message: Message) -> None:
        """Take a message from the shard."""
        self._stage.history.counts[f"{type(message).__name__} received"] += 1
        if isinstance(message, Deliver | JobResult):
            self._sender.receive(message)
        else:
            self.executor.receive(message)

    def hear(self, reply: HeartbeatReply, sent: float, received: float) -> int:
        """Take a heartbeat's reply."""
        self.executor.clock_offset_s = self._offset.learn(reply, sent, received)
        self._lease.heard(reply.epoch, sent)
        return self._lease.epoch

    def kill(self) -> None:
        """End the process; the system closes its connections."""
        super().kill()
        self.egress.die()

    def _report(self, message: Message) -> None:
        self._stage.history.counts[f"{type(message).__name__} reported"] += 1
        self.mailbox.post(message)

    def _check(self) -> None:
        self._lease.check()
        self._stage.loop.call_later(HEARTBEAT_EVERY_S / 2, self._check)


class WebhookHost(PeerHost):
    """As ``regions.ray_shell.WebhookActor``."""

    def __init__(self, stage: Stage, name: RegionName, life: int) -> None:
        super().__init__(stage, name, life)
        self._sender = WebhookSender(ReceiverEgress(stage.outside), self.clock, self.mailbox.post)
        self.begin()

    def receive(self, message: Message) -> None:
        """Take a delivery."""
        self._sender.receive(message)

    def hear(self, reply: HeartbeatReply, sent: float, received: float) -> int:
        """Take a heartbeat's reply."""
        return reply.epoch


class SimulatedLink:
    """as ``orchestrator.adapters.ray.links.ActorLink``; each grant that passes is logged."""

    def __init__(self, stage: Stage, host: "ShardHost", region: RegionName) -> None:
        self._stage = stage
        self._host = host
        self._region = region
        self._mailbox = Mailbox(self._carry, Header(0, ""))

    def post(self, message: Message) -> None:
        """Queue a message."""
        if isinstance(message, RunAttempt):
            self._host.grants[message.attempt] = self._grant(message)
            self._stage.history.grants.append(self._host.grants[message.attempt])
        elif isinstance(message, GoAttempt):
            first = self._host.grants[message.attempt]
            self._stage.history.grants.append(replace(first, at=self._stage.loop.time(), again=True))
        self._mailbox.post(message)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Speak to another incarnation."""
        self._mailbox.readdress(Header(epoch, incarnation))
        if incarnation:
            self._mailbox.knock()

    async def close(self) -> None:
        """Drop what waits."""
        await self._mailbox.close()

    def _grant(self, message: RunAttempt) -> Grant:
        headers = dict(message.request.headers)
        owner = self._host.living().dispatcher._open[message.attempt].owner
        assert isinstance(owner, JobSupervisor)
        step = step_of(owner.course, message.attempt)
        assert step is not None
        attempt = find_attempt(run_of(owner.course, step), message.attempt)
        assert attempt is not None
        return Grant(
            self._stage.loop.time(),
            message.attempt,
            JobId(headers["X-EZThrottle-Job-Id"]),
            attempt.number,
            step,
            attempt.leg,
            self._region,
            target_domain(message.request.url),
            message.request.url,
            again=False,
        )

    async def _carry(self, batch: bytes) -> None:
        stage, region = self._stage, self._region
        await stage.network.call(
            self._host.process, lambda: stage.find_peer(region), region, batch, to_shard=False
        )


class AnyTarget:
    """A guard that lets every address pass."""

    async def refusals(self, urls: Sequence[str]) -> dict[str, str]:
        """Refuse nothing."""
        return {}


class ShardHost:
    """As ``orchestrator.adapters.ray.node.ShardNode``."""

    def __init__(self, stage: Stage, life: int) -> None:
        self._stage = stage
        self.process = stage.loop.process(f"shard {life}")
        self._life = life
        self._reader = BatchReader()
        self.serving = False
        self.grants: dict[AttemptId, Grant] = {}
        self.shard: Shard | None = None
        self._intake: Intake | None = None
        self.process.spawn(self._live())

    def serve(self, batch: bytes) -> None:
        """Take a batch from an executor or the webhook actor."""
        shard = self.living()
        header, messages = self._reader.read(batch)
        if header.epoch != shard.epoch:
            self._stage.history.counts["stale batch at the shard"] += 1
            return
        for message in messages:
            self._log(shard, message)
            shard.receive(message)

    def beat(self, beat: bytes) -> bytes:
        """Take a heartbeat."""
        message = decode_one(beat)
        if not isinstance(message, Heartbeat):
            raise TypeError(type(message).__name__)
        return encode(self.living().heartbeat(message, SHARD_BOOT_ID))

    async def submit(self, customer: CustomerId, spec: JobSpec) -> Acknowledgement | KnownAlready:
        """Take a submission."""
        if self._intake is None:
            raise CallError
        return await self._intake.submit(customer, spec)

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job; say whether it was still open."""
        return await self.living().cancel(job_id)

    async def stop(self, drain_s: float) -> None:
        """Stop as an operator stops the service."""
        shard = self.living()
        await shard.drain(drain_s)
        self.serving = False
        await shard.close()

    def kill(self) -> None:
        """End the process."""
        self.process.kill()

    def living(self) -> Shard:
        """Give the shard, once it has begun."""
        if self.shard is None:
            raise CallError
        return self.shard

    async def _live(self) -> None:
        stage, life = self._stage, self._life
        disk_random = stage.random(f"disk {life}")
        self.shard = Shard(
            store=DiskHandle(stage.disk, stage.loop, disk_random, stage.scenario.disk_s),
            links=self,
            clock=VirtualClock(stage.loop, epoch_ms=EPOCH_MS),
            random=stage.random(f"shard {life}"),
            options=ShardOptions(
                regions=stage.scenario.regions,
                pace=stage.scenario.pace,
                delivery=DeliveryOptions(schedule=SHORT_SCHEDULE),
                strict_down_s=STRICT_DOWN_S,
                known=KnownDomains(weights={str(weight): weight for _, weight in stage.scenario.weights}),
            ),
        )
        self._intake = Intake(
            LocalShard(self.shard),
            self.shard.store,
            self.shard.clock,
            guard=AnyTarget(),
            random=stage.random(f"intake {life}"),
            bounds=SubmissionBounds(),
            regions=stage.scenario.regions,
        )
        await self.shard.begin()
        paces = await self.shard.store.paces()
        stage.history.shards.append(ShardBegan(stage.loop.time(), self.shard.epoch, paces))
        self.serving = True
        try:
            await self.shard.failed()
        except Exception as error:  # noqa: BLE001  # a shard that gives up is a finding, whatever ended it
            stage.history.troubles.append(f"the shard gave up at {stage.loop.time():.3f} s: {error!r}")

    def link(self, region: RegionName) -> SimulatedLink:
        """Make the link to one peer."""
        return SimulatedLink(self._stage, self, region)

    def _log(self, shard: Shard, message: Message) -> None:
        if not isinstance(message, AttemptDone) or message.response is None:
            return
        if message.attempt not in shard.dispatcher._open:
            return
        grant, headers = self.grants[message.attempt], message.response.headers
        rps, concurrent = headers.get(HEADER_RPS), headers.get(HEADER_CONCURRENT)
        line = next(
            request
            for request in reversed(self._stage.history.requests)
            if (request.job_id, request.number, request.region) == (grant.job_id, grant.number, grant.region)
        )
        self._stage.history.answers.append(
            AnswerHeard(
                self._stage.loop.time(),
                grant.domain,
                grant.job_id,
                grant.number,
                grant.url,
                message.response.status,
                None if rps is None or rps in GARBAGE else float(rps),
                None if concurrent is None else int(concurrent),
                line.retry_after_s,
                line.quota,
            )
        )
