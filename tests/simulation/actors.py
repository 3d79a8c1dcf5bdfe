"""The real nodes in simulated processes, over a simulated network: in Ray's place, and the socket's."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.regions.node import MailboxLinks, ShardNode
from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.shards.neighbours import Cluster
from orchestrator.core.submissions.intake import Intake
from orchestrator.core.submissions.submission_checks import SubmissionChecks
from orchestrator.core.views import Acknowledgement, KnownAlready
from orchestrator.domain.ids import (
    AttemptId,
    CustomerId,
    JobId,
    NodeAddress,
    RegionName,
    ShardName,
    target_domain,
)
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.mail_room import MailCount
from orchestrator.domain.pace.known_domains import KnownDomains
from orchestrator.domain.webhooks.fanout import DeliveryOptions
from orchestrator.messages.names import WEBHOOK_NODE, executor_address
from orchestrator.messages.types import AttemptDone, GoAttempt, Message, RunAttempt
from orchestrator.ports.links import RegionLink
from orchestrator.ports.store import Fenced
from orchestrator.ports.transport import Carrier
from orchestrator.runtime.open_files import FILES_MOST
from regions.node import RegionNode
from regions.session import NodeParts
from tests.simulation.disk import Disk, DiskHandle
from tests.simulation.faults import BETWEEN_SHARDS, Actor
from tests.simulation.history import AnswerHeard, Grant, History, ShardBegan
from tests.simulation.network import Answer, CallError, Endpoint, Network
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
from tests.support.packed import talk_packed
from tests.support.virtual_loop import Process, VirtualClock, VirtualLoop

STRICT_DOWN_S = 2.0
"""Cuts last for seconds here."""
SHARD_BOOT_ID = "the shards' machine"


class Stage(Struct, frozen=True, kw_only=True):
    """What every actor of a run stands on."""

    loop: VirtualLoop
    scenario: Scenario
    history: History
    network: Network
    outside: Outside
    disk: Disk
    find_shard: Callable[[ShardName], Endpoint | None]
    find_shard_heart: Callable[[ShardName], Endpoint | None]
    find_peer: Callable[[RegionName, ShardName], Endpoint | None]
    """A region's node, as a shard sends to it."""
    find_neighbour: Callable[[ShardName, ShardName, bool], Endpoint | None]
    """A shard, as another one sends to it, and whether that is a heartbeat."""

    def random(self, name: str) -> Random:
        """Make a stream of its own, so that one actor's draws do not shift another's."""
        return Random(f"{name} {self.scenario.seed}")


class RegionProcess:
    """A region's node, in a process with a heart beside it."""

    def __init__(self, stage: Stage, name: RegionName, life: int) -> None:
        self.name = name
        self.process = stage.loop.process(f"{name} {life}")
        self._heart = stage.loop.process(f"{name} {life}, its heart")
        machine = (*stage.scenario.regions, WEBHOOKS).index(name)
        skew_s = stage.scenario.skews_s[machine]
        self._egress = TargetEgress(stage.outside, name)
        node = RegionNode(
            NodeParts(
                incarnation=f"{name}.{life}",
                boot_id=SHARD_BOOT_ID if skew_s == 0.0 else f"the machine of {name}",
                clock=VirtualClock(stage.loop, epoch_ms=EPOCH_MS, skew_s=skew_s),
                transport=NodesTransport(stage, name, self.process, self._heart),
                targets=self._egress,
                receivers=ReceiverEgress(stage.outside),
                count_files_left=lambda: FILES_MOST,
            )
        )
        self.sessions = {shard: node.join(ShardName(shard)) for shard in stage.scenario.shards}
        self.process.call_soon(node.start)
        for session in self.sessions.values():
            self._heart.spawn(session.beat_for_ever(self._enter))

    def serve(self, shard: ShardName, _region: RegionName, batch: bytes) -> None:
        """Take a batch from a shard."""
        self.sessions[Actor(shard)].receive(batch)

    def kill(self) -> None:
        """End the process; the system closes its connections."""
        self.process.kill()
        self._heart.kill()
        self._egress.die()

    async def _enter(self, act: Callable[[], bool]) -> bool:
        # In production the heart is a thread, and waits for the node's loop; here a future stands between.
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.process.call_soon(lambda: self._heart.call_soon(done.set_result, act()))
        return await done


class NodesTransport(Struct, frozen=True):
    """A node's way to the shards over the simulated network."""

    stage: Stage
    region: RegionName
    process: Process
    heart: Process

    def carrier(self, to: ShardName) -> Carrier:
        """Make what carries batches to a shard."""
        network, find = self.stage.network, partial(self.stage.find_shard, to, self.region)

        async def carry(batch: bytes) -> None:
            await network.call(self.process, find, self.region, batch, to_shard=True, shard=to)

        return carry

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        """Bring a heartbeat."""
        network, find = self.stage.network, partial(self.stage.find_shard_heart, shard, self.region)
        return await network.call(self.heart, find, self.region, beat, to_shard=True, shard=shard) or b""


class ShardsTransport(Struct, frozen=True):
    """A shard's way to nodes over the simulated network."""

    stage: Stage
    process: Process
    shard: ShardName

    def carrier(self, to: NodeAddress) -> Carrier:
        """Make what carries batches to a node."""
        network, region = self.stage.network, to.region

        async def carry(batch: bytes) -> None:
            find = partial(self.stage.find_peer, region, self.shard)
            await network.call(self.process, find, region, batch, to_shard=False, shard=self.shard)

        return carry


class NeighboursTransport(Struct, frozen=True):
    """A shard's way to the other one over the simulated network."""

    stage: Stage
    process: Process
    shard: ShardName

    def carrier(self, to: ShardName) -> Carrier:
        """Make what carries batches to the other shard."""

        async def carry(batch: bytes) -> None:
            await self._call(to, batch, beats=False)

        return carry

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        """Bring a heartbeat."""
        return await self._call(shard, beat, beats=True) or b""

    async def _call(self, to: ShardName, payload: bytes, *, beats: bool) -> Answer:
        find = partial(self.stage.find_neighbour, self.shard, to, beats)
        second = to == Actor.OTHER_SHARD
        return await self.stage.network.call(self.process, find, BETWEEN_SHARDS, payload, to_shard=second)


class LoggedLink:
    """A link of the shard's; each grant that passes is logged."""

    def __init__(self, stage: Stage, host: "ShardProcess", region: RegionName, link: RegionLink) -> None:
        self._stage = stage
        self._host = host
        self._region = region
        self._link = link
        self.readdress = link.readdress
        self.close = link.close
        self.stuck_s = link.stuck_s
        self.mail = link.mail

    def post(self, message: Message, count: MailCount | None = None) -> None:
        """Queue a message."""
        if isinstance(message, RunAttempt):
            self._host.grants[message.attempt] = self._grant(message)
            self._stage.history.grants.append(self._host.grants[message.attempt])
        elif isinstance(message, GoAttempt):
            first, now = self._host.grants[message.attempt], self._stage.loop.time()
            self._stage.history.grants.append(replace(first, at=now, taken_at=now, again=True))
        self._link.post(message, count)

    def _grant(self, message: RunAttempt) -> Grant:
        headers = dict(message.request.headers)
        targets = self._host.living().targets
        opened = targets.dispatcher._open[message.attempt]
        assert opened.permit is not None
        now = self._stage.loop.time()
        # What has no permit took none before: the checker is to name that.
        permits = targets.limiter(opened.turn.domain)._permits
        _, _, taken_at = permits._out.get(opened.permit, (None, None, now))
        ticket = opened.turn.ticket
        step = targets.steps._steps[ticket.job_id, ticket.step]
        return Grant(
            now,
            taken_at,
            message.attempt,
            JobId(headers["X-EZThrottle-Job-Id"]),
            int(headers["X-EZThrottle-Attempt"]),
            ticket.step,
            step.open[message.attempt].leg,
            self._region,
            target_domain(message.request.url),
            message.request.url,
            again=False,
        )


class AnyTarget:
    """A guard that lets every address pass."""

    async def refusals(self, urls: Sequence[str]) -> dict[str, str]:
        """Refuse nothing."""
        return {}


class LoggedShard(Shard):
    """A shard; each answer that it hears is logged."""

    log: Callable[[Shard, AttemptDone], None]

    def receive(self, sender: NodeAddress, message: Message) -> None:
        """Take a message."""
        if isinstance(message, AttemptDone):
            self.log(self, message)
        super().receive(sender, message)


class ShardProcess:
    """A shard's node in a process; ``begun`` is told when it has the shard."""

    def __init__(self, stage: Stage, name: ShardName, life: int, begun: Callable[[], None]) -> None:
        self._has_begun = begun
        self._stage = stage
        self._name = name
        self.process = stage.loop.process(f"{name} {life}")
        self._life = life
        self.serving = False
        self.grants: dict[AttemptId, Grant] = {}
        self.shard: Shard | None = None
        self._node: ShardNode | None = None
        self._intake: Intake | None = None
        self._links = MailboxLinks(ShardsTransport(stage, self.process, name))
        self.process.spawn(self._live())

    def serve(self, region: RegionName, batch: bytes) -> None:
        """Take a batch from a node."""
        self._begun().receive(_address(region), batch)

    def beat(self, region: RegionName, beat: bytes) -> bytes:
        """Take a heartbeat."""
        only_named = region in self._stage.scenario.only_named
        return self._begun().heartbeat(_address(region), beat, only_named=only_named)

    def serve_neighbour(self, sender: ShardName, _region: RegionName, batch: bytes) -> None:
        """Take a batch from the other shard."""
        self._begun().receive_from_shard(sender, batch)

    def beat_of_neighbour(self, sender: ShardName, _region: RegionName, beat: bytes) -> bytes:
        """Take a heartbeat of the other shard's."""
        return self._begun().heartbeat_of_shard(sender, beat)

    async def submit(self, customer: CustomerId, spec: JobSpec) -> Acknowledgement | KnownAlready:
        """Take a submission."""
        if self._intake is None:
            raise CallError
        return await self._intake.submit(customer, spec)

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job; say whether it was still open."""
        return await self.living().jobs.cancel(job_id)

    async def stop(self, drain_s: float) -> None:
        """Stop as an operator stops the service."""
        shard = self.living()
        await shard.drain(drain_s)
        self.serving = False
        await shard.stop()

    def kill(self) -> None:
        """End the process."""
        self.process.kill()

    @property
    def may_act(self) -> bool:
        """Whether it says to nodes that they may work for it."""
        return self.process.alive and self.serving and self.living().may_act

    def living(self) -> Shard:
        """Give the shard, once it has begun."""
        if self.shard is None:
            raise CallError
        return self.shard

    async def _live(self) -> None:
        stage, life = self._stage, self._life
        disk_random = stage.random(self._stream(f"disk {life}"))
        disk = DiskHandle(stage.disk, stage.loop, disk_random, stage.scenario.disk_s, self._name)
        shard = self.shard = self._made(disk)
        self.shard.log = self._log
        self._node = ShardNode(self.shard, SHARD_BOOT_ID)
        self._intake = self._way_in(shard)
        await self.shard.start()
        if stage.scenario.seed % 2 and len(stage.scenario.shards) == 1:
            talk_packed(self.shard)
        paces = await self.shard.store.jobs.paces()
        stage.history.shards.append(ShardBegan(stage.loop.time(), self._name, self.shard.epoch, paces))
        self.serving = True
        self._has_begun()
        try:
            await self.shard.failed()
        except Fenced:
            # Another has the shard: in production the process ends here.
            self.kill()
        except Exception as error:  # noqa: BLE001  # a shard that gives up is a finding, whatever ended it
            stage.history.troubles.append(f"{self._name} gave up at {stage.loop.time():.3f} s: {error!r}")

    def _made(self, disk: DiskHandle) -> LoggedShard:
        return LoggedShard(
            store=disk,
            links=self,
            clock=VirtualClock(self._stage.loop, epoch_ms=EPOCH_MS),
            random=self._stage.random(self._stream(f"shard {self._life}")),
            options=ShardOptions(
                name=self._name,
                regions=self._stage.scenario.regions,
                pace=self._stage.scenario.pace,
                delivery=DeliveryOptions(schedule=SHORT_SCHEDULE),
                strict_down_s=STRICT_DOWN_S,
                known=KnownDomains(
                    weights={str(weight): weight for _, weight in self._stage.scenario.weights}
                ),
            ),
            cluster=self._cluster(),
        )

    def _way_in(self, shard: Shard) -> Intake:
        return Intake(
            LocalShard(shard),
            shard.store,
            shard.clock,
            self._stage.random(self._stream(f"intake {self._life}")),
            SubmissionChecks(
                shard.clock,
                guard=AnyTarget(),
                bounds=SubmissionBounds(),
                regions=self._stage.scenario.regions,
            ),
        )

    def _stream(self, name: str) -> str:
        """Name a stream of draws of this shard's."""
        return name if self._name == Actor.SHARD else f"{name} of the other shard"

    def _cluster(self) -> Cluster | None:
        scenario = self._stage.scenario
        others = tuple(ShardName(shard) for shard in scenario.shards if shard != self._name)
        transport = NeighboursTransport(self._stage, self.process, self._name)
        cluster = Cluster(others=others, owner=scenario.owner, transport=transport)
        return cluster if others else None

    def link(self, to: NodeAddress) -> LoggedLink:
        """Make the link to one node."""
        return LoggedLink(self._stage, self, to.region, self._links.link(to))

    def _begun(self) -> ShardNode:
        if self._node is None:
            raise CallError
        return self._node

    def _is_replaced(self, shard: Shard) -> bool:
        """Whether another life has the shard by now: what this one hears binds nobody."""
        return any(
            began.shard == self._name and began.epoch > shard.epoch for began in self._stage.history.shards
        )

    def _log(self, shard: Shard, message: AttemptDone) -> None:
        if message.response is None:
            return
        if message.attempt not in shard.targets.dispatcher._open or self._is_replaced(shard):
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


def _address(region: RegionName) -> NodeAddress:
    return WEBHOOK_NODE if region == WEBHOOKS else executor_address(region)
