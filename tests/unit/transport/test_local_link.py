"""Real Unix sockets between two ends in one process."""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.transport import local_link
from orchestrator.transport.local_link import LocalCaller, LocalExchange

NAME = "executor-iad"


@pytest.fixture
def path() -> Iterator[Path]:
    # A test's own directory may lie too deep: a socket's path ends at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ezt-") as directory:
        yield Path(directory, "shard.sock")


class Inbox:
    """Keeps the batches that came, and wakes who waits for one."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def take(self, batch: bytes) -> None:
        self.queue.put_nowait(batch)

    def taker(self, name: str) -> Callable[[bytes], None]:
        """Take the batches of the one who has a name here."""
        if name != NAME:
            raise ValueError(name)
        return self.take


class Far:
    """The other way: what goes over it when there is no connection."""

    def __init__(self) -> None:
        self.carried: list[bytes] = []

    async def __call__(self, batch: bytes) -> None:
        self.carried.append(batch)


@asynccontextmanager
async def calling(path: Path, inbox: Inbox) -> AsyncIterator[LocalCaller]:
    caller = LocalCaller(path, NAME)
    task = asyncio.create_task(caller.keep_connected(inbox.take))
    try:
        yield caller
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def near(caller: LocalCaller, inbox: Inbox) -> None:
    """Wait until what the caller sends goes over its connection."""
    carry = caller.carrier(Far())
    async with asyncio.timeout(10):
        while inbox.queue.empty():
            # As a mailbox does: what failed goes again.
            with suppress(ConnectionError):
                await carry(b"are you there?")
            await asyncio.sleep(0.01)
    assert inbox.queue.get_nowait() == b"are you there?"


async def until_it_fails(caller: LocalCaller) -> None:
    carry = caller.carrier(Far())
    async with asyncio.timeout(10):
        while True:
            await carry(b"broken")
            await asyncio.sleep(0.01)


async def test_batches_go_both_ways_and_are_taken_before_they_count_as_carried(path: Path) -> None:
    shard, executor, far = Inbox(), Inbox(), Far()
    exchange = LocalExchange(path, shard.taker)
    await exchange.start()
    async with calling(path, executor) as caller:
        await near(caller, shard)

        await exchange.carrier(NAME, far)(b"run this")
        await caller.carrier(far)(b"done")

        assert (executor.queue.get_nowait(), shard.queue.get_nowait()) == (b"run this", b"done")
        assert far.carried == []
    await exchange.stop()


async def test_large_and_empty_batches_keep_their_bounds(path: Path) -> None:
    shard, executor = Inbox(), Inbox()
    exchange = LocalExchange(path, shard.taker)
    await exchange.start()
    async with calling(path, executor) as caller:
        await near(caller, shard)
        carry = caller.carrier(Far())
        batches = [b"", b"x" * 300_000, b"y", b"z" * 96 * 1024]

        await asyncio.gather(*map(carry, batches))

        assert [shard.queue.get_nowait() for _ in batches] == batches
    await exchange.stop()


async def test_without_a_connection_batches_go_the_other_way(path: Path) -> None:
    far = Far()
    exchange = LocalExchange(path, Inbox().taker)
    caller = LocalCaller(path, NAME)

    await exchange.carrier(NAME, far)(b"to nobody near")
    await caller.carrier(far)(b"nobody listens")

    assert far.carried == [b"to nobody near", b"nobody listens"]


async def test_a_batch_on_its_way_fails_with_the_connection(path: Path) -> None:
    shard = Inbox()
    exchange = LocalExchange(path, shard.taker)
    await exchange.start()
    async with calling(path, Inbox()) as caller:
        await near(caller, shard)
        under_way = asyncio.ensure_future(caller.carrier(Far())(b"x" * 8 * 2**20))
        await asyncio.sleep(0)

        await exchange.stop()

        with pytest.raises(ConnectionError):
            await under_way


async def test_a_stop_ends_the_connection_of_who_reads_nothing_of_what_was_written_to_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_link, "FLUSHED_WITHIN_S", 0.1)
    exchange = LocalExchange(path, Inbox().taker)
    await exchange.start()
    silent, _ = await asyncio.get_running_loop().create_unix_connection(asyncio.Protocol, str(path))
    silent.pause_reading()
    silent.write(len(NAME + "kind ").to_bytes(4) + b"\x00" + bytes(4) + NAME.encode())
    async with asyncio.timeout(10):
        while NAME not in exchange._named:  # noqa: ASYNC110  # a hello is answered by nothing
            await asyncio.sleep(0.01)
    under_way = asyncio.ensure_future(exchange.carrier(NAME, Far())(b"x" * 8 * 2**20))
    await asyncio.sleep(0)

    await exchange.stop()

    assert not exchange._open
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(under_way, 1)
    silent.abort()


async def test_a_caller_finds_a_shard_that_was_started_anew(path: Path) -> None:
    first, second = Inbox(), Inbox()
    exchange = LocalExchange(path, first.taker)
    await exchange.start()
    async with calling(path, Inbox()) as caller:
        await near(caller, first)
        await exchange.stop()

        anew = LocalExchange(path, second.taker)
        await anew.start()

        await near(caller, second)
        await anew.stop()


async def test_a_batch_that_can_not_be_taken_ends_the_connection_and_not_the_process(path: Path) -> None:
    def refuse(batch: bytes) -> None:
        raise ValueError(batch)

    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    exchange = LocalExchange(path, lambda _name: refuse)
    await exchange.start()
    async with calling(path, Inbox()) as caller:
        with pytest.raises(ConnectionError):
            await until_it_fails(caller)
    await exchange.stop()


@pytest.mark.parametrize("hello", [[], [b"executor-nowhere"]], ids=["nameless", "unknown"])
async def test_who_is_not_known_by_name_is_hung_up_on_and_nothing_of_it_is_taken(
    path: Path, hello: list[bytes]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    shard = Inbox()
    exchange = LocalExchange(path, shard.taker)
    await exchange.start()
    reader, writer = await asyncio.open_unix_connection(path)

    for name in hello:
        writer.write(len(name).to_bytes(4) + b"\x00" + bytes(4) + name)
    writer.write(b"\x00\x00\x00\x05\x01\x00\x00\x00\x01batch")

    assert await reader.read() == b""
    assert shard.queue.empty()
    writer.close()
    await exchange.stop()


async def test_only_this_user_may_connect(path: Path) -> None:
    exchange = LocalExchange(path, Inbox().taker)
    await exchange.start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116  # one look, in a test
    await exchange.stop()


async def test_a_path_that_is_too_long_is_refused(path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        await LocalExchange(path.with_name("x" * 200), Inbox().taker).start()
