"""Every part that is started and stopped, or is open once it is made: how to make one, and keep it busy."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import pytest
from msgspec import Struct
from yarl import URL

from orchestrator.adapters.agents.door import AgentDoor
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.otlp import OtlpTracing
from orchestrator.adapters.process.log_follower import LogFollower
from orchestrator.adapters.process.output import StderrRelay
from orchestrator.adapters.ray import node
from orchestrator.adapters.ray.node import ShardHost
from orchestrator.adapters.ray.node_door import NodeDoor
from orchestrator.adapters.sqlite.checkpoints import Checkpointer
from orchestrator.adapters.sqlite.connections import connect
from orchestrator.adapters.sqlite.course_notes import CourseNote
from orchestrator.adapters.sqlite.data_dir import data_files
from orchestrator.adapters.sqlite.database import Database
from orchestrator.adapters.sqlite.disk_retry import Patience
from orchestrator.adapters.sqlite.group_commit import GroupCommitWriter
from orchestrator.adapters.sqlite.reader_lanes import ReaderLane, ReaderLanes
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.core.regions.node import MailboxLink, MailboxLinks
from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.shards.neighbour import IncomingSession, OutgoingSession
from orchestrator.core.shards.neighbours import Cluster, Neighbours
from orchestrator.core.tasks import Tasks
from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.execution.course import Course
from orchestrator.domain.ids import AttemptId, CustomerId, DeliveryId, JobId, RegionName, ShardName
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.messages.codec import Header
from orchestrator.messages.names import WEBHOOK_NODE, executor_address
from orchestrator.messages.types import CancelAttempt, Deliver, RunAttempt
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.egress import Gate, Timed
from orchestrator.ports.transport import Carrier
from orchestrator.settings import Settings
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.local_link import LocalExchange
from orchestrator.transport.mailbox import Mailbox
from orchestrator.transport.tcp_exchange import TcpExchange
from regions.agent import Agent, AgentOptions
from regions.egress.client import AiohttpEgress
from regions.egress.dns import SystemLookup
from regions.egress.spares import SpareConnections
from regions.executor import Executor
from regions.guard import AddressPolicy
from regions.heart import Heart
from regions.node import RegionNode
from regions.session import NodeParts, ShardSession
from regions.tcp_transport import ShardsOverTcp
from regions.webhooks import WebhookSender

IAD, EAST, WEST = RegionName("iad"), ShardName("east"), ShardName("west")
NOWHERE = Gateway("127.0.0.1", 1, None)
ANYWHERE = Gateway("127.0.0.1", 0, None)
MESSAGE = CancelAttempt(AttemptId("1.1"))


class Place(Struct):
    """What a part may stand on: a directory, and what is undone after it."""

    directory: Path
    after: AsyncExitStack
    patch: pytest.MonkeyPatch


async def never(*_: Any) -> NoReturn:
    """Take for ever."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def nobody(*_: Any) -> NoReturn:
    """Is not asked."""
    raise AssertionError


class Silence:
    """A way to anywhere, on which nothing arrives."""

    def carrier(self, to: Any) -> Carrier:
        return never

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        return await never()


class Endless:
    """A target that never answers."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> Any:
        await never()

    async def close(self) -> None:
        """Nothing is held."""


def a_shard() -> Shard:
    return Shard(
        store=MemoryStore(),
        links=MailboxLinks(Silence()),
        clock=SystemClock(),
        random=Random(1),
        options=ShardOptions(regions=(IAD,)),
    )


def a_shard_host(place: Place) -> ShardHost:
    # What would hold for the whole process of the tests.
    for name in ("log_to", "tune_interpreter", "give_memory_back"):
        place.patch.setattr(node, name, lambda *_: None)
    settings = Settings(data_dir=place.directory / "data", port=0, regions=("iad",))
    settings.data_dir.mkdir(mode=0o700)
    return ShardHost(settings, place.directory / "shard.sock")


def an_agent() -> Agent:
    policy = AddressPolicy(allow_private=True)
    return Agent(AgentOptions(region=IAD, node="one", token="a token", gateways=(NOWHERE,), policy=policy))


def a_way_over_tcp() -> ShardsOverTcp:
    agent = an_agent()
    return ShardsOverTcp((NOWHERE,), agent._hello, take=nobody, welcomed=nobody, refused=nobody)


def node_parts() -> NodeParts:
    return NodeParts(
        incarnation="one",
        boot_id="boot",
        clock=SystemClock(),
        transport=Silence(),
        targets=Endless(),
        receivers=Endless(),
    )


def a_session() -> ShardSession:
    session = RegionNode(node_parts()).join(EAST)
    session.mailbox.post(MESSAGE)
    busy(session.executor)
    return session


def busy(executor: Executor) -> Executor:
    executor.unfence(float("inf"))
    request = HttpRequest(method="GET", url="http://a.example/")
    executor.receive(RunAttempt(AttemptId("1.1"), SystemClock().now() + 60.0, request))
    assert len(executor) == 1
    return executor


def a_sender() -> WebhookSender:
    sender = WebhookSender(Endless(), SystemClock(), nobody)
    sender.receive(Deliver(DeliveryId("d"), 1, "http://a.example/", b"{}", (), JobId("j")))
    return sender


def a_mailbox() -> Mailbox:
    mailbox = Mailbox(never, Header(1, "one"))
    mailbox.knock()
    return mailbox


def a_peer_book() -> PeerBook:
    book = PeerBook([executor_address(IAD), WEBHOOK_NODE], MailboxLinks(Silence()), SystemClock())
    book.post(executor_address(IAD), MESSAGE)
    return book


def some_neighbours() -> Neighbours:
    shard = a_shard()
    cluster = Cluster(others=(WEST,), owner=lambda _: EAST, transport=Silence())
    neighbours = Neighbours(EAST, cluster, SystemClock(), shard.targets.steps, lambda: 1.0)
    neighbours.begin(1, shard.jobs.table, shard.jobs.newcomers)
    return neighbours


def an_incoming_session() -> IncomingSession:
    return IncomingSession(WEST, Silence(), a_shard().targets.steps, {}, SystemClock())


def some_tasks() -> Tasks:
    tasks = Tasks()
    tasks.spawn(never())
    return tasks


def a_connection(place: Place) -> sqlite3.Connection:
    connection = connect(place.directory / "a.db")
    place.after.callback(connection.close)
    return connection


def a_writer(place: Place) -> GroupCommitWriter:
    def nothing(*_: Any) -> None:
        """All is well."""

    loop = asyncio.get_running_loop()
    return GroupCommitWriter(a_connection(place), loop, nothing, nothing, nothing)


def a_checkpointer(place: Place) -> Checkpointer:
    return Checkpointer(place.directory / "a.db", a_connection(place), lambda: None)


async def a_lane(place: Place) -> ReaderLane:
    a_connection(place)
    lane = ReaderLane(place.directory / "a.db", "quick")
    await lane.rows("SELECT 1")
    return lane


async def some_lanes(place: Place) -> ReaderLanes:
    a_connection(place)
    lanes = ReaderLanes(place.directory / "a.db")
    await lanes.quick.rows("SELECT 1")
    return lanes


def a_database(place: Place) -> Database:
    path, box = data_files(place.directory)
    return Database(path, box, Patience(), alone=True)


def a_spare_connection() -> SpareConnections:
    spares = SpareConnections(Endless())
    spares.make(URL("http://a.example/"))
    return spares


def a_store(place: Place) -> SqliteStore:
    store = SqliteStore(place.directory)
    store.jobs._large.put(CourseNote(JobId("j"), CustomerId("c"), JobState.RUNNING, Course(())))
    return store


async def a_lookup() -> SystemLookup:
    lookup = SystemLookup()
    await lookup("127.0.0.1")
    return lookup


def a_follower(place: Place) -> LogFollower:
    return LogFollower(place.directory / "service.log", BytesIO())


Make = Callable[[Place], Any | Awaitable[Any]]

STARTED: dict[type, Make] = {
    Agent: lambda _: an_agent(),
    AgentDoor: lambda _: AgentDoor(ANYWHERE, MemoryStore().customers, nobody),
    Heart: lambda _: Heart(never),
    LocalExchange: lambda place: LocalExchange(place.directory / "a.sock", nobody),
    LogFollower: a_follower,
    NodeDoor: lambda _: NodeDoor("127.0.0.1", 0, nobody, nobody),
    RegionNode: lambda _: RegionNode(node_parts()),
    Shard: lambda _: a_shard(),
    ShardHost: a_shard_host,
    ShardsOverTcp: lambda _: a_way_over_tcp(),
    StderrRelay: lambda _: StderrRelay(1.0),
    TcpExchange: lambda _: TcpExchange(ANYWHERE, never),
}
"""What is started and stopped."""

CLOSED: dict[type, Make] = {
    AiohttpEgress: lambda _: AiohttpEgress(AddressPolicy(allow_private=True)),
    Checkpointer: a_checkpointer,
    Database: a_database,
    Executor: lambda _: busy(Executor(Endless(), SystemClock(), lambda _: None)),
    GroupCommitWriter: a_writer,
    IncomingSession: lambda _: an_incoming_session(),
    MailboxLink: lambda _: MailboxLinks(Silence()).link(executor_address(IAD)),
    Mailbox: lambda _: a_mailbox(),
    MemoryStore: lambda _: MemoryStore(),
    Neighbours: lambda _: some_neighbours(),
    OtlpTracing: lambda _: OtlpTracing(),
    OutgoingSession: lambda _: OutgoingSession(WEST, Silence(), SystemClock(), lambda: 1.0),
    PeerBook: lambda _: a_peer_book(),
    ReaderLane: a_lane,
    ReaderLanes: some_lanes,
    ShardSession: lambda _: a_session(),
    SpareConnections: lambda _: a_spare_connection(),
    SqliteStore: a_store,
    SystemLookup: lambda _: a_lookup(),
    Tasks: lambda _: some_tasks(),
    WebhookSender: lambda _: a_sender(),
}
"""What is open once it is made, with something under way where that can be."""
