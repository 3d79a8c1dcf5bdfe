"""One end of a connection between machines: in which order it says what."""

import asyncio

from orchestrator.messages.codec import WIRE_VERSION
from orchestrator.messages.hello import Purpose
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.tcp_link import TAKEN_AFTER_S, TcpLink

WITHIN_S = 10.0


class Wire(asyncio.Transport):
    """Keeps what is written, and is closed by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closing = True


def a_batch(number: int) -> bytes:
    """Give the frame of an empty batch."""
    return bytes([0, 0, 0, 5, FrameKind.BATCH, 0, 0, 0, number])


def begin(wire: Wire, said: list[str]) -> TcpLink:
    """Give a link, each batch of which begins something that is written when it has its first turn."""

    async def work() -> None:
        said.append("begun")
        link.send(FrameKind.BATCH, b"what came of it")

    def take(_batch: bytes) -> None:
        tasks.append(asyncio.create_task(work()))

    tasks: list[asyncio.Task[None]] = []
    link = TcpLink(lambda _link, _kind, _payload: None, lambda _link: None)
    link._transport = wire
    link.begin(Purpose.BATCHES, version=WIRE_VERSION, take=take)
    return link


def kinds(wire: Wire) -> list[FrameKind]:
    return [FrameKind(frame[4]) for frame in wire.written]


async def test_a_batch_is_acknowledged_behind_what_it_begins() -> None:
    wire, said = Wire(), list[str]()
    begin(wire, said).data_received(a_batch(1) + a_batch(2))
    async with asyncio.timeout(WITHIN_S):
        while len(wire.written) < 4:  # noqa: ASYNC110  # the wire says nothing of it
            await asyncio.sleep(TAKEN_AFTER_S)
    assert kinds(wire) == [FrameKind.BATCH, FrameKind.BATCH, FrameKind.TAKEN, FrameKind.TAKEN]
    assert [frame[-1] for frame in wire.written[2:]] == [1, 2]


async def test_a_connection_that_is_closing_acknowledges_nothing_more() -> None:
    wire, said = Wire(), list[str]()
    link = begin(wire, said)
    link.data_received(a_batch(1))
    await asyncio.sleep(0)
    assert said == ["begun"]
    link.close()
    await asyncio.sleep(2 * TAKEN_AFTER_S)
    assert FrameKind.TAKEN not in kinds(wire)
