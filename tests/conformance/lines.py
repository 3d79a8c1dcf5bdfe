"""The lines that the conformance suite of transports runs over: two ends, and what happens between them."""

import asyncio
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

from msgspec.structs import replace

from orchestrator.domain.ids import RegionName
from orchestrator.messages.codec import BatchReader, Header
from orchestrator.messages.hello import Hello, Purpose
from orchestrator.messages.names import SHARD, executor_address
from orchestrator.messages.types import Message
from orchestrator.ports.transport import Carrier
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.local_link import LocalCaller, LocalExchange
from orchestrator.transport.mailbox import Mailbox
from orchestrator.transport.tcp_caller import TcpCaller
from orchestrator.transport.tcp_exchange import Admission, TcpExchange
from orchestrator.transport.tcp_link import TcpWay
from tests.simulation.faults import Direction, Partition
from tests.simulation.network import Endpoint, Network
from tests.simulation.scenario import NetworkPlan, scenario
from tests.support.certificates import Certificate
from tests.support.virtual_loop import VirtualLoop

IAD = RegionName("iad")
NODE = str(executor_address(IAD))
ONE_LIFE = Header(3, "one life")
CUT_S = 5.0
"""Of virtual time."""
TROUBLES = NetworkPlan(base_s=(), lost=0.3, unsure=0.3, doubled=0.3, late=0.3, late_most_s=1.0)


class Side(Enum):
    """An end of a line."""

    SHARD = auto()
    NODE = auto()

    @property
    def other(self) -> "Side":
        """The far end."""
        return Side.NODE if self is Side.SHARD else Side.SHARD


SENDERS = {Side.SHARD: SHARD, Side.NODE: NODE}


class End:
    """A mailbox to the other side, and what came from there."""

    def __init__(self, carrier: Carrier) -> None:
        self.mailbox = Mailbox(carrier, ONE_LIFE)
        self.header = ONE_LIFE
        self.came: list[tuple[str, Message]] = []
        self.news = asyncio.Event()
        self._reader = BatchReader()

    def take(self, sender: str, batch: bytes) -> None:
        """Take a batch of a sender's, if it is for this life."""
        header, messages = self._reader.read(batch)
        if header == self.header:
            self.came += [(sender, message) for message in messages]
            self.news.set()

    def begin_life(self, header: Header) -> None:
        """Be another one: nothing came yet."""
        self.header = header
        self.came.clear()


class Line(Protocol):
    """Two ends over one transport."""

    ends: dict[Side, End]

    def post(self, side: Side, *messages: Message) -> None:
        """Let a side send something."""

    async def begin_life(self, header: Header) -> None:
        """Let the node be another one, and the shard know that."""

    def cut(self, *deaf: Side) -> AbstractAsyncContextManager[None]:
        """Let nothing reach some sides for a while, whatever they send themselves."""

    def trouble(self) -> AbstractAsyncContextManager[None]:
        """Let carrying fail now and then, in the way of this transport."""


Story = Callable[[Line], Coroutine[Any, Any, None]]


class _LocalLine:
    """Both ends are in this process."""

    ends: dict[Side, End]

    async def begin_life(self, header: Header) -> None:
        self.ends[Side.NODE].begin_life(header)
        self.ends[Side.SHARD].mailbox.readdress(header)


class MemoryLine(_LocalLine):
    """Calls of the simulated network."""

    def __init__(self, loop: VirtualLoop, network: Network, cuts: list[Any]) -> None:
        self._loop = loop
        self._network = network
        self._cuts = cuts
        self._processes = {side: loop.process(side.name) for side in Side}
        self.ends = {side: End(self._carrier(side)) for side in Side}

    def post(self, side: Side, *messages: Message) -> None:
        for message in messages:
            self._processes[side].call_soon(self.ends[side].mailbox.post, message)

    @asynccontextmanager
    async def cut(self, *deaf: Side) -> AsyncIterator[None]:
        now = self._loop.time()
        for side in deaf:
            direction = Direction.TO_SHARD if side is Side.SHARD else Direction.FROM_SHARD
            self._cuts.append(Partition(IAD, now, now + CUT_S, direction))
        yield
        await asyncio.sleep(now + CUT_S - self._loop.time())

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        self._network._plan = replace(TROUBLES)
        yield
        self._network._plan = NetworkPlan(base_s=())

    def _carrier(self, side: Side) -> Carrier:
        def serve(_region: RegionName, batch: bytes) -> None:
            self.ends[side.other].take(SENDERS[side], batch)

        async def carry(batch: bytes) -> None:
            own, far = self._processes[side], self._processes[side.other]
            find = partial(Endpoint, far, serve)
            await self._network.call(own, find, IAD, batch, to_shard=side is Side.NODE)

        return carry


def over_memory(story: Story) -> None:
    """Play a story over the simulated network."""
    loop = VirtualLoop(Random(1))
    plan = replace(scenario(1), network=NetworkPlan(base_s=()), faults=(), calm_s=1e9)
    network = Network(loop, Random(2), plan, Counter())

    async def play() -> None:
        await story(MemoryLine(loop, network, network._cuts))

    loop.run(play())


class RelayedLine(_LocalLine, ABC):
    """A socket, with a relay between the ends that can hold what it relays, or break off."""

    def __init__(self) -> None:
        self._open = {side: asyncio.Event() for side in Side}
        self._relayed: set[asyncio.StreamWriter] = set()
        for gate in self._open.values():
            gate.set()

    def post(self, side: Side, *messages: Message) -> None:
        for message in messages:
            self.ends[side].mailbox.post(message)

    @asynccontextmanager
    async def cut(self, *deaf: Side) -> AsyncIterator[None]:
        for side in deaf:
            self._open[side].clear()
        yield
        for side in deaf:
            self._open[side].set()

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        breaking = asyncio.create_task(self._break_off())
        yield
        breaking.cancel()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Listen, relay and connect."""
        async with AsyncExitStack() as stack:
            await self._begin(stack)
            for side in Side:
                stack.push_async_callback(self.ends[side].mailbox.close)
            stack.callback(self._hang_up)
            yield

    @abstractmethod
    async def _begin(self, stack: AsyncExitStack) -> None:
        """Listen, relay and connect, until the stack is closed."""

    @abstractmethod
    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect the relay to the shard's end."""

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._dial()
        self._relayed |= {writer, far_writer}
        with suppress(ConnectionError):
            await asyncio.gather(
                self._pass_on(reader, far_writer, Side.SHARD), self._pass_on(far_reader, writer, Side.NODE)
            )
        self._relayed -= {writer, far_writer}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Side) -> None:
        while data := await reader.read(10_000):
            await self._open[to].wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _break_off(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            self._hang_up()

    def _hang_up(self) -> None:
        for writer in self._relayed:
            writer.transport.abort()


class SocketLine(RelayedLine):
    """A Unix socket."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._relay_path, self._path = directory / "relay.sock", directory / "shard.sock"
        self._exchange = LocalExchange(self._path, lambda name: partial(self.ends[Side.SHARD].take, name))
        self._caller = LocalCaller(self._relay_path, NODE)
        self.ends = {
            Side.SHARD: End(self._exchange.carrier(NODE, nowhere)),
            Side.NODE: End(self._caller.carrier(nowhere)),
        }

    async def _begin(self, stack: AsyncExitStack) -> None:
        await self._exchange.start()
        stack.push_async_callback(self._exchange.stop)
        relay = await asyncio.start_unix_server(self._relay, self._relay_path)
        stack.callback(relay.close)
        take = partial(self.ends[Side.NODE].take, SHARD)
        connecting = asyncio.create_task(self._caller.keep_connected(take))
        stack.callback(connecting.cancel)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._path)


class TcpLine(RelayedLine):
    """TLS over TCP."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__()
        self._certificate = certificate
        self._exchange = TcpExchange(Gateway("127.0.0.1", 0, certificate.server()), self._admit)
        self._way = TcpWay()
        self.ends = {
            Side.SHARD: End(self._exchange.carrier(executor_address(IAD))),
            Side.NODE: End(self._way),
        }

    async def _begin(self, stack: AsyncExitStack) -> None:
        await self._exchange.start()
        stack.push_async_callback(self._exchange.stop)
        relay = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        stack.callback(relay.close)
        port: int = relay.sockets[0].getsockname()[1]
        address = executor_address(IAD)
        hello = Hello(
            purpose=Purpose.BATCHES,
            token="a token",
            region=address.region,
            node=address.node,
            incarnation=ONE_LIFE.incarnation,
        )
        caller = TcpCaller(
            Gateway("127.0.0.1", port, self._certificate.client()),
            hello,
            self._way,
            take=partial(self.ends[Side.NODE].take, SHARD),
        )
        connecting = asyncio.create_task(caller.keep_connected())
        stack.callback(connecting.cancel)

    async def _admit(self, hello: Hello) -> Admission:
        return Admission(
            address=executor_address(IAD),
            key_id=hello.token,
            shard=SHARD,
            take=partial(self.ends[Side.SHARD].take, NODE),
            answer=lambda beat: beat,
        )

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._exchange.port)


async def nowhere(_batch: bytes) -> None:
    """There is no other way than the one that is tried."""
    raise ConnectionError


def over_a_unix_socket(story: Story) -> None:
    """Play a story over a Unix socket."""

    async def play(directory: str) -> None:
        line = SocketLine(Path(directory))
        async with line.connected():
            await story(line)

    # A test's own directory may lie too deep: a socket's path ends at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ezt-") as directory:
        asyncio.run(play(directory))


def over_tls(story: Story) -> None:
    """Play a story over TLS and TCP."""

    async def play() -> None:
        line = TcpLine(Certificate.made())
        async with line.connected():
            await story(line)

    asyncio.run(play())
