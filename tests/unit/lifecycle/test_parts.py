"""What runs is started and stopped alike, and what is open is closed alike: ports/lifecycle.py says how."""

import asyncio
import inspect
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.core.tasks import Tasks
from orchestrator.messages.codec import Header
from orchestrator.ports.lifecycle import AsyncLifecycle, Lifecycle, Stage
from orchestrator.transport.mailbox import Mailbox
from tests.unit.lifecycle.parts import CLOSED, MESSAGE, STARTED, Make, Place

OTHERS_THREADS = ("asyncio_", "egress-dns")
"""The loop's own; and look-ups, which may hang for the system's whole patience: nobody waits for those."""

each_started = pytest.mark.parametrize("make", STARTED.values(), ids=[part.__name__ for part in STARTED])
each_closed = pytest.mark.parametrize("make", CLOSED.values(), ids=[part.__name__ for part in CLOSED])


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    # A test's own directory may lie too deep: a socket's path ends at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ezt-") as directory:
        async with AsyncExitStack() as after:
            yield Place(Path(directory), after, monkeypatch)


async def told(answer: Any) -> Any:
    """Give what was answered, at once or later."""
    return await answer if inspect.isawaitable(answer) else answer


def under_way() -> set[object]:
    """Find what runs: tasks, and threads."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith(OTHERS_THREADS)}
    return asyncio.all_tasks() | threads


@each_started
async def test_a_second_start_changes_nothing(make: Make, place: Place) -> None:
    part = await told(make(place))
    await told(part.start())
    assert part.stage is Stage.UP
    once = under_way()
    await told(part.start())
    assert under_way() == once
    await told(part.stop())


@each_started
async def test_a_stop_returns_when_nothing_runs_any_more_and_a_second_one_changes_nothing(
    make: Make, place: Place
) -> None:
    before = under_way()
    part = await told(make(place))
    await told(part.start())
    # Whatever it does comes about.
    await asyncio.sleep(0.01)
    for _ in range(2):
        await told(part.stop())
        assert part.stage is Stage.STOPPED
        assert under_way() == before


@each_started
async def test_a_stop_without_a_start_lets_go_of_what_is_there(make: Make, place: Place) -> None:
    before = under_way()
    part = await told(make(place))
    await told(part.stop())
    assert under_way() == before


@each_started
@pytest.mark.parametrize("started", [False, True], ids=["never started", "once started"])
async def test_after_a_stop_there_is_no_other_start(make: Make, place: Place, *, started: bool) -> None:
    part = await told(make(place))
    if started:
        await told(part.start())
    await told(part.stop())
    with pytest.raises(RuntimeError, match=f"{type(part).__name__} has one life, and is stopped"):
        await told(part.start())


@each_closed
async def test_a_close_returns_when_nothing_runs_any_more_and_may_come_twice(
    make: Make, place: Place
) -> None:
    before = under_way()
    part = await told(make(place))
    await asyncio.sleep(0.01)
    for _ in range(2):
        await told(part.close())
        assert under_way() == before


class Failing(AsyncLifecycle):
    """Half of it comes up, or takes for ever."""

    def __init__(self, *, for_ever: bool = False) -> None:
        self._for_ever = for_ever
        self.half: asyncio.Task[None] | None = None

    async def _start(self) -> None:
        self.half = asyncio.create_task(asyncio.sleep(60.0))
        if self._for_ever:
            await asyncio.sleep(60.0)
        raise OSError("the port is another's")

    async def _stop(self) -> None:
        if self.half is not None:
            self.half.cancel()
            await asyncio.gather(self.half, return_exceptions=True)


class FailingThread(Lifecycle):
    """A thread that can't be had."""

    def _start(self) -> None:
        raise OSError("no thread is left")

    def _stop(self) -> None:
        """Nothing came up."""


@pytest.mark.parametrize("make", [Failing, FailingThread])
async def test_a_start_that_failed_is_not_taken_for_one_that_went_well(
    make: type[Failing | FailingThread],
) -> None:
    part = make()
    with pytest.raises(OSError, match=r"another's|no thread"):
        await told(part.start())
    with pytest.raises(RuntimeError, match="its start has failed"):
        await told(part.start())
    await told(part.stop())
    assert part.stage is Stage.STOPPED


async def test_who_gives_a_start_up_takes_down_what_had_come_up() -> None:
    part = Failing(for_ever=True)
    starting = asyncio.create_task(part.start())
    await asyncio.sleep(0.01)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert part.half is not None
    assert not part.half.done()
    await part.stop()
    assert part.half.cancelled()


async def test_what_a_timer_begins_after_the_end_of_a_shards_tasks_is_not_begun() -> None:
    before, begun = under_way(), False

    async def work() -> None:
        nonlocal begun
        begun = True

    tasks = Tasks()
    await tasks.close()
    tasks.spawn(work())
    await asyncio.sleep(0.01)
    assert not begun
    assert under_way() == before


async def test_what_is_posted_to_a_closed_mailbox_is_dropped() -> None:
    carried: list[bytes] = []

    async def carry(batch: bytes) -> None:
        carried.append(batch)

    mailbox = Mailbox(carry, Header(1, "one"))
    await mailbox.close()
    mailbox.post(MESSAGE)
    mailbox.knock()
    await asyncio.sleep(0.01)
    assert not carried


async def test_whoever_ends_all_tasks_from_one_of_them_goes_on() -> None:
    tasks, ended = Tasks(), asyncio.Event()

    async def end_all() -> None:
        await tasks.close()
        ended.set()

    tasks.spawn(end_all())
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_store_that_is_closed_twice_at_once_is_let_go_of_by_neither_before_all_is_committed(
    tmp_path: Path,
) -> None:
    store, slow = SqliteStore(tmp_path), threading.Event()
    store.database.post(lambda _db: slow.wait(30))
    closing = [asyncio.create_task(store.close()) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert not any(close.done() for close in closing)
    slow.set()
    await asyncio.gather(*closing)
