"""What TLS costs the shard's loop: CPU time of its process for batches to and from an agent in another one.

``python -m bench.tls_cost`` does the same with and without TLS in turns, and prints µs per KiB of each, the
difference, and what a handshake costs.
"""

import asyncio
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import uvloop

from orchestrator.domain.ids import RegionName
from orchestrator.messages.codec import WIRE_VERSION, Header, encode_batch
from orchestrator.messages.hello import Hello, Purpose
from orchestrator.messages.names import SHARD, executor_address
from orchestrator.ports.transport import Carrier
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.tcp_caller import TcpCaller
from orchestrator.transport.tcp_exchange import Admission, TcpExchange
from orchestrator.transport.tcp_link import TcpWay
from tests.support.certificates import Certificate

ROUNDS = 7
BYTES = 48 * 1024 * 1024
"""In each direction and round."""
SIZES = {"96 KiB, as large answers come": 96 * 1024, "4 KiB, as batches under load are": 4 * 1024}
UNDER_WAY = 16
HANDSHAKES = 100
ADDRESS = executor_address(RegionName("fra"))


def a_batch(size: int) -> bytes:
    """Make bytes that are let through as a batch."""
    head = encode_batch(Header(1, "one life"), [])
    assert head[1] == WIRE_VERSION
    return head + bytes(size - len(head))


async def carry_all(carry: Carrier, batch: bytes, count: int) -> None:
    """Carry a batch so often, some of them at a time."""
    places = asyncio.Semaphore(UNDER_WAY)

    async def one() -> None:
        async with places:
            await carry(batch)

    await asyncio.gather(*(one() for _ in range(count)))


class ShardsEnd:
    """The end whose CPU time counts; the other is a process of its own."""

    def __init__(self, certificate: Path | None) -> None:
        self._certificate = certificate
        tls = Certificate.made().server() if certificate else None
        self._left = 0
        self._done = asyncio.Event()
        self._exchange = TcpExchange(Gateway("127.0.0.1", 0, tls), self._admit)
        self._way = self._exchange.carrier(ADDRESS)

    async def start(self) -> None:
        """Listen, start the other end, and wait until it is connected."""
        named = self._certificate
        await self._exchange.start()
        command = (
            sys.executable,
            "-m",
            "bench.tls_cost",
            str(self._exchange.port),
            *([str(named)] if named else []),
        )
        self._other = subprocess.Popen(command)  # noqa: ASYNC220  # it is awaited by its connection
        await self._way.connected()

    async def stop(self) -> None:
        """End both."""
        self._other.kill()
        self._other.wait()
        await self._exchange.stop()

    async def receive(self, size: int) -> float:
        """Receive so many bytes in batches of a size; give µs of CPU per KiB."""
        self._left = BYTES // size
        self._done.clear()
        await self._way(a_batch(size))
        return await self._cost(self._done.wait())

    async def send(self, size: int) -> float:
        """Send them."""
        # Of a size that asks for nothing: one byte less.
        return await self._cost(carry_all(self._way, a_batch(size - 1), BYTES // size))

    async def _cost(self, work: Awaitable[object]) -> float:
        began = time.process_time()
        await work
        return (time.process_time() - began) * 1e6 / (BYTES / 1024)

    async def _admit(self, _hello: Hello) -> Admission:
        return Admission(address=ADDRESS, key_id="", shard=SHARD, take=self._take, answer=lambda beat: beat)

    def _take(self, _batch: bytes) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()


async def be_the_other_end(port: int, tls: ssl.SSLContext | None) -> None:
    """Take what comes; a batch of a known size asks for as many of that size."""
    way, asked = TcpWay(), asyncio.Queue[int]()
    hello = Hello(
        token="", region=ADDRESS.region, node=ADDRESS.node, incarnation="one", purpose=Purpose.BATCHES
    )

    def take(batch: bytes) -> None:
        if len(batch) in SIZES.values():
            asked.put_nowait(len(batch))

    caller = TcpCaller(Gateway("127.0.0.1", port, tls), hello, way, take=take)
    keeping = asyncio.create_task(caller.keep_connected())
    while not keeping.done():
        size = await asked.get()
        await carry_all(way, a_batch(size), BYTES // size)


async def handshake_us(certificate: Path) -> float:
    """Give the CPU time of one handshake at the listening end, µs."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=Certificate.made().server())
    port = server.sockets[0].getsockname()[1]
    code = (
        f"import socket, ssl; context = ssl.create_default_context(cafile={str(certificate)!r})\n"
        f"for _ in range({HANDSHAKES}):\n"
        f"  with socket.create_connection(('127.0.0.1', {port})) as it:\n"
        "    context.wrap_socket(it, server_hostname='127.0.0.1').recv(1)\n"
    )
    began = time.process_time()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
    took = time.process_time() - began
    server.close()
    return took * 1e6 / HANDSHAKES


def shown(figures: list[float]) -> str:
    """Show a median and its spread."""
    return f"{statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f})"


async def main() -> None:
    """Be the other end, where a port is named, or else measure."""
    if len(sys.argv) > 1:
        port, *authority = sys.argv[1:]
        tls = ssl.create_default_context(cafile=authority[0]) if authority else None
        await be_the_other_end(int(port), tls)
    with tempfile.TemporaryDirectory() as directory:
        certificate, _ = Certificate.made().write(Path(directory))
        await measure(certificate)


async def measure(certificate: Path) -> None:
    """Measure everything, and print it."""
    ends = {"TLS": ShardsEnd(certificate), "plain": ShardsEnd(None)}
    for end in ends.values():
        await end.start()
    for words, size in SIZES.items():
        for what in ("receive", "send"):
            costs: dict[str, list[float]] = {name: [] for name in ends}
            for _ in range(ROUNDS):
                for name, end in ends.items():
                    costs[name].append(await getattr(end, what)(size))
            more = [tls - plain for tls, plain in zip(*costs.values(), strict=True)]
            both = ", ".join(f"{name} {shown(figures)}" for name, figures in costs.items())
            print(f"{what}, {words}: µs of CPU per KiB: {both}; TLS costs {shown(more)}")
    for end in ends.values():
        await end.stop()
    handshakes = [await handshake_us(certificate) for _ in range(ROUNDS)]
    print(f"a handshake: {shown(handshakes)} µs of CPU at the listening end")


if __name__ == "__main__":
    uvloop.run(main())
