"""Nodes and a shard on different machines of a cluster: they connect within TLS, and need not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from orchestrator.adapters.agents.door_log import LINES_AT_ONCE
from orchestrator.adapters.ray.node_door import NodeDoor
from orchestrator.domain.ids import NodeAddress, RegionName, ShardName
from orchestrator.messages.hello import Invitation, read
from orchestrator.messages.names import WEBHOOK_NODE, executor_address
from orchestrator.ports.transport import Carrier
from orchestrator.transport.mailbox import BATCHES_UNDER_WAY
from orchestrator.transport.tcp_link import BATCHES_MOST, TcpLink
from regions import far_shard
from regions.far_shard import SILENT_BEATS_MOST, FarShard
from tests.support.certificates import Certificate

IAD, LAX = executor_address(RegionName("iad")), executor_address(RegionName("lax"))
LOOPBACK = "127.0.0.1"
WITHIN_S = 10.0

Came = asyncio.Queue[tuple[str, bytes]]
"""What came, and by which way or from whom."""


class Shard:
    """A shard's door for nodes, and what comes through it. ``by_call`` are batches that went otherwise."""

    def __init__(self) -> None:
        self.came: Came = asyncio.Queue()
        self.by_call: Came = asyncio.Queue()
        self.shard: Any = self
        self.options: Any = self
        self.name = ShardName("shard-0")
        self.door = NodeDoor(LOOPBACK, 0, lambda: cast("Any", self), self._otherwise)

    def taker(self, node: NodeAddress) -> Callable[[bytes], None]:
        return lambda batch: self.came.put_nowait((str(node), batch))

    def heartbeat(self, _node: NodeAddress, beat: bytes) -> bytes:
        return beat

    def _otherwise(self, node: NodeAddress) -> Carrier:
        async def call(batch: bytes) -> None:
            self.by_call.put_nowait((str(node), batch))

        return call


class Node:
    """A node that asks to be invited, and what comes to it. ``invitation`` is what it gets to hear."""

    def __init__(self, invite: Callable[[], Invitation | None], host: str = "192.0.2.1") -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self.by_call: asyncio.Queue[bytes] = asyncio.Queue()
        self.invite = invite
        self.asked = asyncio.Event()
        self.near = False
        self.far = FarShard("a life", host, self._invite, is_near=lambda: self.near, otherwise=self._call)
        self._keeping: asyncio.Task[Any] | None = None

    def begin(self) -> "Node":
        self._keeping = asyncio.create_task(self.far.keep_connected(self.came.put_nowait))
        return self

    async def end(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            # So that what is aborted is closed while the loop is there.
            await asyncio.sleep(0.01)

    async def connected(self) -> "Node":
        async with asyncio.timeout(WITHIN_S):
            await self.far.way.connected()
        return self

    async def alone(self) -> None:
        """Wait until it has no connection."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.far.way):  # noqa: ASYNC110  # nothing tells of that but the way itself
                await asyncio.sleep(0.01)

    async def connected_anew(self, before: TcpLink) -> None:
        """Wait until it has another connection than before."""
        async with asyncio.timeout(WITHIN_S):
            while not len(self.far.way) or self.far.way.latest() is before:  # noqa: ASYNC110  # the same
                await asyncio.sleep(0.01)

    async def _invite(self) -> Invitation | None:
        self.asked.set()
        return self.invite()

    async def _call(self, batch: bytes) -> None:
        self.by_call.put_nowait(batch)


@pytest.fixture
async def shard(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shard]:
    monkeypatch.setattr(far_shard, "PAUSE_FIRST_S", 0.01)
    shard = Shard()
    await shard.door.start()
    yield shard
    await shard.door.stop()


@pytest.fixture
async def nodes() -> AsyncIterator[list[Node]]:
    nodes: list[Node] = []
    yield nodes
    for node in nodes:
        await node.end()


async def next_of(queue: "asyncio.Queue[Any]") -> Any:
    async with asyncio.timeout(WITHIN_S):
        return await queue.get()


def invitation_of(shard: Shard, address: NodeAddress) -> Invitation:
    written = shard.door.invite(address)
    assert written is not None
    return read(written, Invitation)


def invited(shard: Shard, address: NodeAddress) -> Callable[[], Invitation | None]:
    return lambda: invitation_of(shard, address)


async def test_batches_go_both_ways_within_tls_from_whom_the_shard_invited(
    shard: Shard, nodes: list[Node]
) -> None:
    for address in (IAD, LAX, WEBHOOK_NODE):
        node = await Node(invited(shard, address)).begin().connected()
        nodes.append(node)
        await node.far.way(b"up")
        assert await next_of(shard.came) == (str(address), b"up")
        await shard.door.exchange.carrier(address)(b"down")
        assert await next_of(node.came) == b"down"
        assert (node.by_call.qsize(), shard.by_call.qsize()) == (0, 0)


async def test_without_a_connection_batches_go_as_calls_and_over_it_as_many_as_the_path_takes(
    shard: Shard, nodes: list[Node]
) -> None:
    node = Node(invited(shard, IAD))
    nodes.append(node)
    down = shard.door.exchange.carrier(IAD)
    assert (node.far.way.places, down.places) == (BATCHES_UNDER_WAY, BATCHES_UNDER_WAY)
    await node.far.way(b"up")
    await down(b"down")
    assert await next_of(node.by_call) == b"up"
    assert await next_of(shard.by_call) == (str(IAD), b"down")
    await node.begin().connected()
    assert (node.far.way.places, down.places) == (BATCHES_MOST, BATCHES_MOST)


async def test_a_node_comes_in_again_at_the_next_life_of_the_shard(shard: Shard, nodes: list[Node]) -> None:
    lives = [shard]
    node = Node(lambda: invitation_of(lives[-1], IAD))
    nodes.append(node)
    await node.begin().connected()
    await shard.door.stop()
    await node.alone()
    await node.far.way(b"meanwhile")
    assert await next_of(node.by_call) == b"meanwhile"
    lives.append(Shard())
    await lives[-1].door.start()
    await node.connected()
    await node.far.way(b"again")
    assert await next_of(lives[-1].came) == (str(IAD), b"again")
    await lives[-1].door.stop()


async def test_a_connection_on_which_the_shard_seems_silent_is_given_up_for_a_new_one(
    shard: Shard, nodes: list[Node]
) -> None:
    node = await Node(invited(shard, IAD)).begin().connected()
    nodes.append(node)
    first = node.far.way.latest()
    for _ in range(2 * SILENT_BEATS_MOST):
        node.far.asks()
        node.far.is_heard()
    assert node.far.way.latest() is first
    for _ in range(SILENT_BEATS_MOST + 1):
        node.far.asks()
    await node.connected_anew(first)


@pytest.mark.parametrize("wrong", ["token", "certificate", "port"])
async def test_who_can_not_come_in_goes_on_by_calls_and_comes_in_once_it_can(
    shard: Shard, nodes: list[Node], wrong: str
) -> None:
    def invite() -> Invitation:
        invitation = invitation_of(shard, IAD)
        return Invitation(
            host=LOOPBACK,
            port=1 if wrong == "port" else invitation.port,
            certificate=Certificate.made().certificate if wrong == "certificate" else invitation.certificate,
            token="guessed" if wrong == "token" else invitation.token,
        )

    node = Node(invite).begin()
    nodes.append(node)
    for _ in range(3):
        async with asyncio.timeout(WITHIN_S):
            await node.asked.wait()
        node.asked.clear()
    assert len(node.far.way) == 0
    await node.far.way(b"up")
    assert await next_of(node.by_call) == b"up"
    node.invite = invited(shard, IAD)
    await node.connected()
    assert shard.came.empty()


async def test_who_is_connected_on_its_own_machine_asks_nobody(shard: Shard, nodes: list[Node]) -> None:
    node = Node(invited(shard, IAD))
    nodes.append(node)
    node.near = True
    node.begin()
    await asyncio.sleep(0.1)
    assert not node.asked.is_set()
    node.near = False
    await node.connected()


async def test_a_shard_of_its_own_machine_is_left_to_the_other_connection(
    shard: Shard, nodes: list[Node]
) -> None:
    nodes.append(Node(invited(shard, IAD), host=LOOPBACK).begin())
    for _ in range(3):
        async with asyncio.timeout(WITHIN_S):
            await nodes[0].asked.wait()
        nodes[0].asked.clear()
    assert len(nodes[0].far.way) == 0


async def test_whom_ray_does_not_bring_to_the_shard_any_more_comes_in_by_no_other_way(
    shard: Shard, nodes: list[Node]
) -> None:
    node = await Node(invited(shard, IAD)).begin().connected()
    nodes.append(node)

    def cut_off() -> None:
        raise TimeoutError

    node.invite = cut_off
    node.far.way.latest().abort()
    for _ in range(3):
        node.asked.clear()
        async with asyncio.timeout(WITHIN_S):
            await node.asked.wait()
    assert len(node.far.way) == 0


async def test_nobody_is_invited_by_a_shard_that_does_not_listen(shard: Shard) -> None:
    assert Shard().door.invite(IAD) is None
    before = shard.door.invite(IAD)
    assert before == shard.door.invite(IAD) != shard.door.invite(LAX)
    await shard.door.stop()
    assert shard.door.invite(IAD) is None


async def test_strangers_at_the_door_fill_no_log(shard: Shard, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(LINES_AT_ONCE + 50):
        _, writer = await asyncio.open_connection(LOOPBACK, shard.door.exchange.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        writer.close()
    async with asyncio.timeout(WITHIN_S):
        while len(caplog.records) < LINES_AT_ONCE:  # noqa: ASYNC110  # nothing tells of a line
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert (
        len([line for line in caplog.records if "never said who it is" in line.message]) <= LINES_AT_ONCE + 5
    )


async def test_whose_token_is_no_token_at_all_is_refused(
    shard: Shard, nodes: list[Node], caplog: pytest.LogCaptureFixture
) -> None:
    invitation = invitation_of(shard, IAD)
    nodes.append(Node(lambda: replace(invitation, token="\u00e9")).begin())
    for _ in range(3):
        nodes[0].asked.clear()
        async with asyncio.timeout(WITHIN_S):
            await nodes[0].asked.wait()
    assert "gave no such token" in caplog.text
    assert "nobody can say" not in caplog.text
