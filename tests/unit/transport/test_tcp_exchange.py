"""Who connects between machines, and is not let in yet: strangers, over real sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from orchestrator.domain.ids import RegionName, ShardName
from orchestrator.messages.hello import Hello, Purpose, Welcome, read, written
from orchestrator.messages.names import executor_address
from orchestrator.ports.lifecycle import Stage
from orchestrator.transport import tcp_exchange
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.tcp_exchange import Admission, TcpExchange
from orchestrator.transport.visits import Visit
from tests.support.agent_rig import Stranger
from tests.support.certificates import Certificate

SOME_OF_A_HANDSHAKE = b"\x16\x03\x01"
WITHIN_S = 10.0


class Door:
    """An exchange that lets everybody in, and what it tells of them."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[Visit, str]] = asyncio.Queue()
        at = Gateway("127.0.0.1", 0, Certificate.made().server())
        self.exchange = TcpExchange(at, self._admit, tell=lambda *told: self.told.put_nowait(told))

    async def _admit(self, hello: Hello) -> Admission:
        return Admission(
            address=executor_address(RegionName("iad")),
            key_id=hello.token,
            shard=ShardName("east"),
            take=lambda _: None,
            answer=lambda beat: beat,
        )

    async def connect(self, tls: ssl.SSLContext | None = None) -> Stranger:
        return Stranger(*await asyncio.open_connection("127.0.0.1", self.exchange.port, ssl=tls))

    async def in_handshake(self) -> Stranger:
        """Connect somebody who has begun with TLS, and does not go on."""
        before = len(self.exchange._strangers)
        stranger = await self.connect()
        stranger.write(SOME_OF_A_HANDSHAKE)
        async with asyncio.timeout(WITHIN_S):
            while len(self.exchange._strangers) == before:  # noqa: ASYNC110  # it says nothing of it
                await asyncio.sleep(0.01)
        return stranger


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """None of its times is up during a test."""
    monkeypatch.setattr(tcp_exchange, "HELLO_WITHIN_S", 600.0)
    monkeypatch.setattr(tcp_exchange, "TLS_WITHIN_S", 600.0)
    door = Door()
    await door.exchange.start()
    yield door
    await door.exchange.stop()


async def hung_up_on(stranger: Stranger) -> bool:
    async with asyncio.timeout(WITHIN_S):
        return await stranger.is_hung_up_on()


async def test_a_stop_ends_the_connection_of_who_is_within_the_tls_handshake(door: Door) -> None:
    stranger = await door.in_handshake()
    await door.exchange.stop()
    assert door.exchange.stage is Stage.STOPPED
    assert await hung_up_on(stranger)


@pytest.mark.parametrize("turns", [1, 3])
async def test_who_comes_while_it_stops_is_hung_up_on(door: Door, turns: int) -> None:
    # Of the turns that a loop takes to let a connection in: the stop comes in the midst of them.
    with socket.create_connection(("127.0.0.1", door.exchange.port), WITHIN_S) as stranger:
        for _ in range(turns):
            await asyncio.sleep(0)
        await door.exchange.stop()
        assert await asyncio.to_thread(ended, stranger)


def ended(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1) == b""
    except ConnectionError:
        return True


async def test_strangers_within_the_tls_handshake_are_bounded_in_number(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_exchange, "STRANGERS_MOST", 2)
    oldest = await door.in_handshake()
    others = [await door.in_handshake(), await door.connect(), await door.connect()]
    assert await hung_up_on(oldest)
    for stranger in others:
        stranger.close()


async def test_whose_tls_fails_is_forgotten_at_once(door: Door) -> None:
    stranger = await door.connect()
    stranger.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(WITHIN_S):
        visit, _ = await door.told.get()
    assert visit is Visit.SILENT
    assert not door.exchange._strangers
    assert await hung_up_on(stranger)


async def test_who_says_hello_with_the_end_of_the_handshake_is_heard(door: Door) -> None:
    stranger = await door.connect(Certificate.made().client())
    hello = Hello(purpose=Purpose.BATCHES, token="a token", region="iad", node="iad", incarnation="one life")
    stranger.say(FrameKind.HELLO, written(hello))
    kind, payload = await stranger.hear()
    assert kind is FrameKind.WELCOME
    assert read(payload, Welcome).shard == "east"
    stranger.close()
