"""A real shard and its door for agents in one process, over TLS on loopback; honest agents, and others."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgpack

from orchestrator.adapters.agents.door import AgentDoor
from orchestrator.adapters.agents.nodes import NodesAndAgents
from orchestrator.adapters.api_keys import make_key
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.regions.node import MailboxLinks, ShardNode
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.domain.access.audit import Act, AuditEntry
from orchestrator.domain.access.roles import Role
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.ids import CustomerId, JobId, NodeAddress, RegionName, new_job_id, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.domain.pace.pacing import Pace
from orchestrator.messages.codec import BatchReader, Header, encode, encode_batch, fragments
from orchestrator.messages.hello import Hello, Purpose, Welcome, read, written
from orchestrator.messages.types import Heartbeat, HeartbeatReply, Message
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.customers import ApiKey
from orchestrator.ports.lifecycle import Lifecycle
from orchestrator.ports.store import StoredJob
from orchestrator.ports.transport import Carrier
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from regions.agent import Agent, AgentOptions
from regions.guard import AddressPolicy
from regions.heart import BeatForEver
from tests.support.certificates import Certificate

FRA, LAX = RegionName("fra"), RegionName("lax")
WITHIN_S = 30.0
BOOT = "a machine"


class Unreachable:
    """There are no other nodes than agents."""

    def carrier(self, to: NodeAddress) -> Carrier:
        """Make what carries nothing."""

        async def carry(_batch: bytes) -> None:
            raise ConnectionError

        return carry


class HeartInLoop(Lifecycle):
    """Beats in the loop of the node."""

    def __init__(self, beat_for_ever: BeatForEver) -> None:
        self._beat_for_ever = beat_for_ever
        self._beating: asyncio.Task[None] | None = None

    def _start(self) -> None:
        self._beating = asyncio.create_task(self._beat_for_ever(self._enter))

    def _stop(self) -> None:
        if self._beating is not None:
            # It is stopped beside the loop, as a thread is.
            self._beating.get_loop().call_soon_threadsafe(self._beating.cancel)

    async def _enter(self, act: Callable[[], bool]) -> bool:
        return act()


class AgentRig:
    """What ``serve --regions '' --agents-bind`` is, but for its HTTP and its processes."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = SystemClock()
        at = Gateway("127.0.0.1", 0, Certificate.made().server())
        self.door = AgentDoor(at, self.store.customers, lambda: self.node)
        links = MailboxLinks(NodesAndAgents(Unreachable(), self.door.exchange))
        options = ShardOptions(regions=(), pace=Pace(1_000.0, 1_000))
        self.shard = Shard(store=self.store, links=links, clock=self.clock, random=Random(2), options=options)
        self.node = ShardNode(self.shard, BOOT)
        self._random = Random(1)
        self._agents: list[Agent] = []

    async def start(self) -> None:
        """Open the door."""
        await self.shard.start()
        await self.door.start()

    async def stop(self) -> None:
        """Close it, and end every agent."""
        for agent in self._agents:
            await agent.stop()
        await self.door.stop()
        await self.shard.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where the door is."""
        return self.door.exchange.port

    def tls(self) -> ssl.SSLContext:
        """Give what the door's end of a connection has."""
        return Certificate.made().server()

    async def key(
        self, region: RegionName = FRA, role: Role = Role.REGION, **terms: Any
    ) -> tuple[str, ApiKey]:
        """Make a key."""
        of_region = region if role is Role.REGION else None
        key, made = make_key("regions", "pro", role, now_ms=self.clock.unix_ms(), region=of_region, **terms)
        await self.store.customers.add_key(key, made, self._entry(Act.KEY_CREATED, made))
        return key, made

    def revoked(self, made: ApiKey) -> AuditEntry:
        """What the audit holds of a key that is revoked now."""
        return self._entry(Act.KEY_REVOKED, made)

    def _entry(self, act: Act, made: ApiKey) -> AuditEntry:
        now_ms = self.clock.unix_ms()
        return AuditEntry(at_ms=now_ms, act=act, subject=made.key_id, who="ops", origin="here")

    async def join(
        self,
        region: RegionName = FRA,
        node: str = "one",
        token: str = "",
        ports: Sequence[int] = (),
        *,
        only_named: bool = False,
    ) -> Agent:
        """Let an honest agent join, through these ports of loopback, and wait until its region is up."""
        tls = Certificate.made().client()
        options = AgentOptions(
            region=region,
            node=node,
            token=token or (await self.key(region))[0],
            gateways=tuple(Gateway("127.0.0.1", port, tls) for port in ports or [self.port]),
            policy=AddressPolicy(allow_private=True),
            only_named=only_named,
        )
        agent = Agent(options, HeartInLoop)
        self._agents.append(agent)
        await agent.start()
        await self.until(lambda: self.is_up(region, node))
        return agent

    def is_up(self, region: RegionName, node: str) -> bool:
        """Whether a node of an agent's takes work."""
        return any(
            peer.name == region
            and peer.address.node.startswith(f"{node}@")
            and peer.health is RegionHealth.UP
            for peer in self.shard.peers.all()
        )

    async def run(self, url: str, *regions: RegionName, **fields: Any) -> StoredJob:
        """Run a job to its end."""
        job_id = await self.submit(url, *regions, **fields)
        return await self.ended(job_id)

    async def submit(self, url: str, *regions: RegionName, **fields: Any) -> JobId:
        """Store and queue a job."""
        now_ms = self.clock.unix_ms()
        job_id = new_job_id(now_ms, self._random)
        spec = JobSpec(url=url, metadata={}, regions=regions or (FRA,), **fields)
        job = Job(
            id=job_id,
            customer=CustomerId("cust_acme"),
            domain=target_domain(url),
            idempotent_key=job_id,
            accepted_ms=now_ms,
            spec=spec,
        )
        await self.store.jobs.submit(job)
        self.shard.jobs.admit(job)
        return job_id

    async def ended(self, job_id: JobId) -> StoredJob:
        """Wait for a job's end."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                with self.shard.jobs.board.watch(job_id) as watch:
                    stored = await self.store.jobs.load(job_id)
                    assert stored is not None
                    if stored.state.ended:
                        return stored
                    await watch.end(1.0)

    async def until(self, holds: Any) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110  # what is waited for has no event of its own
                await asyncio.sleep(0.01)

    async def stranger(self) -> "Stranger":
        """Connect somebody who speaks frames, and says what a test lets it say."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=Certificate.made().client()
        )
        return Stranger(reader, writer)

    async def intruder(
        self, token: str, purpose: Purpose = Purpose.BATCHES, node: str = "two", **fields: Any
    ) -> "Stranger":
        """Connect somebody who has a key, and is let in."""
        stranger = await self.stranger()
        stranger.say(FrameKind.HELLO, written(a_hello(token, purpose=purpose, node=node, **fields)))
        kind, payload = await stranger.hear()
        assert kind is FrameKind.WELCOME, payload
        read(payload, Welcome)
        return stranger


def a_hello(token: str, **fields: Any) -> Hello:
    """Make the hello of an agent of FRA."""
    values = {"purpose": Purpose.BATCHES, "region": FRA, "node": "two", "incarnation": "one life"}
    return Hello(token=token, **values | fields)


class Stranger:
    """The connecting end, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.batches = BatchReader()

    def write(self, data: bytes) -> None:
        """Write anything."""
        self._writer.write(data)

    def say(self, kind: FrameKind | int, payload: bytes, number: int = 1) -> None:
        """Write a frame."""
        self.write(
            (5 + len(payload)).to_bytes(4, "big") + bytes([kind]) + number.to_bytes(4, "big") + payload
        )

    def report(self, epoch: int, *messages: Message, parts: list[bytes] | None = None) -> None:
        """Write a batch of messages, or of such parts."""
        parts = parts or [part for message in messages for part in fragments(encode(message), 1)]
        self.say(FrameKind.BATCH, encode_batch(Header(epoch, "one life"), parts))

    async def beat(self, epoch: int, **fields: Any) -> HeartbeatReply:
        """Beat once, and hear the reply."""
        self.say(FrameKind.BEAT, encode(Heartbeat("one life", epoch, **fields)))
        kind, payload = await self.hear()
        assert kind is FrameKind.REPLY
        return HeartbeatReply(*msgpack.unpackb(payload)[1:])

    async def hear(self) -> tuple[FrameKind, bytes]:
        """Read a frame.

        Raises:
            EOFError: There is none any more (asyncio.IncompleteReadError).

        """
        async with asyncio.timeout(WITHIN_S):
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:4], "big") - 5)
        return FrameKind(head[4]), payload

    async def is_hung_up_on(self) -> bool:
        """Wait for the end of the connection."""
        try:
            while True:
                await self.hear()
        except (EOFError, ConnectionError):
            return True
        finally:
            self.close()

    async def drain(self) -> None:
        """Wait until what was written has left."""
        await self._writer.drain()

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()


@asynccontextmanager
async def agent_rig() -> AsyncIterator[AgentRig]:
    """Run a rig."""
    rig = AgentRig()
    await rig.start()
    try:
        yield rig
    finally:
        await rig.stop()
