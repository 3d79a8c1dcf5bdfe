"""Large courses on a disk that fails, and in a store that closes: nothing goes back, piles up, or hangs."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.sqlite import course_parts
from orchestrator.adapters.sqlite.disk_retry import Patience
from orchestrator.adapters.sqlite.group_commit import GroupCommitWriter, Write
from orchestrator.adapters.sqlite.result_parts import PART_BYTES
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.ports.store import StoreFailure
from tests.conformance.stores import SqliteKeeper, an_ending
from tests.conformance.test_course_parts import (
    JOB,
    LARGE,
    LARGER,
    SMALL,
    course_on_disk,
    keeping,
    note,
    parts_on_disk,
    save,
    written,
)
from tests.conformance.test_sqlite_writing import writer_held
from tests.unit.domain.builders import NOW_MS

IMPATIENT = Patience(lasts_s=10.0, pause_s=0.1, pause_most_s=0.1)


def full_disk(*_: Any, **__: Any) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


class Disk:
    """Takes what is asked of the writer, but for those writes, counted from 1, that it fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
        whole = GroupCommitWriter.write
        self.asked = 0
        self.failed = asyncio.Event()

        def write(writer: GroupCommitWriter, write: Write, *, size: int = 0) -> Any:
            self.asked += 1
            if not fails(self.asked):
                return whole(writer, write, size=size)
            self.failed.set()
            return whole(writer, full_disk, size=size)

        monkeypatch.setattr(GroupCommitWriter, "write", write)


@pytest.fixture
async def store(directory: SqliteKeeper) -> SqliteStore:
    store = await directory.open()
    store.database._patience = IMPATIENT
    await store.jobs.submit(JOB)
    return store


@pytest.mark.parametrize("first", [SMALL, LARGE])
@pytest.mark.parametrize("later", [SMALL, LARGE])
@pytest.mark.parametrize("waits", [False, True], ids=["noted", "saved"])
async def test_a_save_that_is_tried_again_does_not_undo_what_came_since(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, first: int, later: int, *, waits: bool
) -> None:
    disk = Disk(monkeypatch, lambda number: number == 1)
    saving = asyncio.ensure_future(save(store, keeping(first, b"f")))
    await disk.failed.wait()
    await asyncio.sleep(0.02)
    assert not saving.done()
    if waits:
        await save(store, keeping(later, b"l"))
    else:
        note(store, keeping(later, b"l"))
    await saving
    await written(store)
    assert await course_on_disk(store) == keeping(later, b"l")


async def test_tries_that_fail_leave_one_course_behind_and_nothing_once_it_is_written(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(store, keeping(LARGE))
    # The fourth part of each of four tries, of which each first asks for its number.
    disk = Disk(monkeypatch, lambda number: number in {5, 10, 15, 20})
    monkeypatch.setattr(course_parts, "unnamed", lambda *_: [])
    saving = asyncio.ensure_future(save(store, keeping(LARGER, b"y")))
    most = 0
    while not saving.done():
        most = max(most, len(await parts_on_disk(store)))
    await saving
    assert disk.failed.is_set()
    assert most <= (LARGE + LARGER) // PART_BYTES
    monkeypatch.undo()
    await save(store, keeping(LARGER, b"z"))
    await written(store)
    assert await course_on_disk(store) == keeping(LARGER, b"z")
    assert len(await parts_on_disk(store)) == LARGER // PART_BYTES


async def test_a_note_that_could_not_be_written_leaves_nothing_behind(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, lambda number: number == 4)
    note(store, keeping(LARGER))
    await written(store)
    assert await parts_on_disk(store) == []


async def test_what_is_written_is_saved_though_what_it_took_the_place_of_cannot_be_dropped(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await save(store, keeping(LARGE))
    with monkeypatch.context() as planted:
        planted.setattr(course_parts, "drop_unnamed", full_disk)
        await save(store, keeping(LARGE, b"y"))
        await written(store)
    assert "parts of a course could not be dropped" in caplog.text
    assert "could not be written" not in caplog.text
    assert len(await parts_on_disk(store)) == 2 * LARGE // PART_BYTES
    note(store, keeping(SMALL))
    await written(store)
    assert await course_on_disk(store) == keeping(SMALL)
    assert await parts_on_disk(store) == []


async def a_note_after_the_end(store: SqliteStore, _: pytest.MonkeyPatch) -> None:
    await store.jobs.end(an_ending(JOB))
    note(store, keeping(LARGE))


async def a_save_that_is_tried_again_after_the_end(store: SqliteStore, planted: pytest.MonkeyPatch) -> None:
    disk = Disk(planted, lambda number: number == 2)
    saving = asyncio.ensure_future(save(store, keeping(LARGE)))
    await disk.failed.wait()
    await store.jobs.end(an_ending(JOB))
    await saving


async def an_end_whose_caller_is_gone(store: SqliteStore, _: pytest.MonkeyPatch) -> None:
    await save(store, keeping(LARGE))
    with writer_held(store):
        ending = asyncio.ensure_future(store.jobs.end(an_ending(JOB)))
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


async def an_end_after_which_nothing_can_be_dropped(store: SqliteStore, planted: pytest.MonkeyPatch) -> None:
    await save(store, keeping(LARGE))
    planted.setattr(course_parts, "drop_unnamed", full_disk)
    await store.jobs.end(an_ending(JOB))
    await written(store)


@pytest.mark.parametrize(
    "happens",
    [
        a_note_after_the_end,
        a_save_that_is_tried_again_after_the_end,
        an_end_whose_caller_is_gone,
        an_end_after_which_nothing_can_be_dropped,
    ],
)
async def test_of_a_job_that_has_ended_nothing_is_kept(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, happens: Any
) -> None:
    with monkeypatch.context() as planted:
        await happens(store, planted)
        await written(store)
    assert not store.jobs._large.has(JOB.id)
    await store.jobs.purge(NOW_MS)
    assert await parts_on_disk(store) == []


async def test_parts_that_an_earlier_life_left_go_with_the_next_course_however_small(
    store: SqliteStore, directory: SqliteKeeper
) -> None:
    await save(store, keeping(LARGER))
    note(store, keeping(LARGE))
    await directory.close()
    store = await directory.open()
    assert len(await parts_on_disk(store)) == (LARGER + LARGE) // PART_BYTES
    note(store, keeping(SMALL))
    await written(store)
    assert await course_on_disk(store) == keeping(SMALL)
    assert await parts_on_disk(store) == []


async def test_a_store_closes_though_whoever_closes_it_is_gone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.jobs.submit(JOB)
    with writer_held(store):
        note(store, keeping(LARGER))
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
    await store.close()
    store = SqliteStore(tmp_path)
    assert await course_on_disk(store) == keeping(LARGER)
    await store.close()


async def test_what_comes_while_a_store_closes_holds_nothing_up(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.jobs.submit(JOB)
    closing = asyncio.ensure_future(store.close())
    while not closing.done():
        note(store, keeping(LARGE))
        await asyncio.sleep(0)
    note(store, keeping(LARGE))
    with pytest.raises(StoreFailure, match="closed"):
        await save(store, keeping(LARGE))
    await store.close()


async def test_a_store_that_closes_lets_large_writes_rest_no_more(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    writer = store.database.writer
    await writer.write(lambda _db: None, size=PART_BYTES)
    writer._rests_until += 3_600.0
    await store.jobs.submit(JOB)
    note(store, keeping(LARGER))
    # Within the hour: the time limit of tests sees to it.
    await store.close()
    assert not writer._large
