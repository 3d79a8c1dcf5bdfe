"""Large answers over a path with delay: batches within TLS against bare TCP, in turns, in one run.

``python -m bench.far_answers`` prints MB/s of each, and the ratio; heartbeats go at the same time, on a
connection of their own.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from functools import partial

from bench.delaying_relay import relayed
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import AttemptId, NodeAddress, RegionName
from orchestrator.messages.codec import BatchReader, Header
from orchestrator.messages.hello import Hello, Purpose
from orchestrator.messages.names import SHARD, executor_address
from orchestrator.messages.types import AttemptDone
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.mailbox import Mailbox
from orchestrator.transport.tcp_caller import TcpCaller
from orchestrator.transport.tcp_exchange import Admission, TcpExchange
from orchestrator.transport.tcp_link import TcpWay
from tests.support.certificates import Certificate

ANSWER = bytes(range(256)) * 20_480
"""5 MiB."""
ROUNDS = 5
SLOW = 1e6
BEAT_EVERY_S = 0.5


async def bare(delay_s: float, bytes_per_s: float, answers: int) -> float:
    """Send so much over one TCP connection; give bytes per second, from the first to the last."""
    done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = answers * len(ANSWER)
        while left:
            left -= len(await reader.read(256 * 1024))
        done.set_result(time.monotonic())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    with relayed(server.sockets[0].getsockname()[1], delay_s, bytes_per_s) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        for _ in range(answers):
            writer.write(ANSWER)
            await writer.drain()
        took = await done - began
        writer.close()
    server.close()
    return answers * len(ANSWER) / took


async def batches(delay_s: float, bytes_per_s: float, answers: int) -> tuple[float, float]:
    """Send so much as batches; give bytes per second, and the longest that a heartbeat took, s."""
    arrived = asyncio.Semaphore(0)
    reader = BatchReader()

    def take(batch: bytes) -> None:
        for _ in reader.read(batch)[1]:
            arrived.release()

    address = executor_address(RegionName("iad"))

    async def admit(_hello: Hello) -> Admission:
        return Admission(address=address, key_id="", shard=SHARD, take=take, answer=lambda beat: beat)

    exchange = TcpExchange(Gateway("127.0.0.1", 0, Certificate.made().server()), admit)
    await exchange.start()
    with relayed(exchange.port, delay_s, bytes_per_s) as port:
        way, beats = TcpWay(), TcpWay()
        gateway = Gateway("127.0.0.1", port, Certificate.made().client())
        callers = await connected(gateway, address, way, beats)
        took_most: list[float] = [0.0]
        beating = asyncio.create_task(beat(beats, took_most))
        mailbox = Mailbox(way, Header(1, "one"))
        took = await carry(mailbox, arrived, answers)
        for task in (beating, *callers):
            task.cancel()
        await mailbox.close()
        await exchange.stop()
    return answers * len(ANSWER) / took, max(took_most)


async def carry(mailbox: Mailbox, arrived: asyncio.Semaphore, answers: int) -> float:
    """Post so many answers, and give how long it took until all had arrived, s."""
    began = time.monotonic()
    for number in range(answers):
        response = HttpResponse(status=200, headers={}, body=ANSWER)
        mailbox.post(AttemptDone(AttemptId(str(number)), 1.0, response))
    for _ in range(answers):
        await arrived.acquire()
    return time.monotonic() - began


async def connected(
    gateway: Gateway, node: NodeAddress, way: TcpWay, beats: TcpWay
) -> Sequence[asyncio.Task[object]]:
    """Connect both ways as a node does, and keep them so."""
    hello = partial(Hello, token="", region=node.region, node=node.node, incarnation="one")
    callers = [
        asyncio.create_task(TcpCaller(gateway, hello(purpose=purpose), over).keep_connected())
        for purpose, over in ((Purpose.BATCHES, way), (Purpose.BEATS, beats))
    ]
    while not (len(way) and len(beats)):  # noqa: ASYNC110  # it is no time that counts
        await asyncio.sleep(0.01)
    return callers


async def beat(over: TcpWay, took: list[float]) -> None:
    """Beat as a node does."""
    while True:
        sent = time.monotonic()
        await over.latest().ask(FrameKind.BEAT, b"a heartbeat")
        took.append(time.monotonic() - sent)
        await asyncio.sleep(BEAT_EVERY_S)


async def main() -> None:
    for delay_ms, bytes_per_s, answers in ((30, 12.5e6, 8), (30, 40e6, 16), (30, 1e6, 1), (0, 1e9, 40)):
        ours, theirs, beats = [], [], []
        for _ in range(ROUNDS if bytes_per_s > SLOW else 2):
            theirs.append(await bare(delay_ms / 1000, bytes_per_s, answers))
            speed, slowest = await batches(delay_ms / 1000, bytes_per_s, answers)
            ours.append(speed)
            beats.append(slowest)
        ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
        print(
            f"{2 * delay_ms} ms, {bytes_per_s / 1e6:g} MB/s: "
            f"bare TCP {statistics.median(theirs) / 1e6:.1f} MB/s, "
            f"batches in TLS {statistics.median(ours) / 1e6:.1f} MB/s, ratio {ratio:.2f} "
            f"({min(ours) / 1e6:.1f} to {max(ours) / 1e6:.1f}); slowest heartbeat {max(beats) * 1000:.0f} ms"
        )


if __name__ == "__main__":
    asyncio.run(main())
