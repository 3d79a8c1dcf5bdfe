"""How far a job is that keeps large answers is written in parts, and is one again for whoever reads it."""

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite.connections import connect
from orchestrator.adapters.sqlite.course_parts import write_part
from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.adapters.sqlite.group_commit import GroupCommitWriter, Write
from orchestrator.adapters.sqlite.result_parts import DROPPED_AT_ONCE, PART_BYTES
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from tests.conformance.stores import SqliteKeeper, a_course, an_ending, rows_of
from tests.conformance.test_sqlite_writing import writer_held
from tests.unit.domain.builders import NOW_MS, a_job

DAY_MS = 24 * 3600 * 1000
SIZES = (PART_BYTES - 1_000, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 7)
SMALL, LARGE, LARGER = 1, 2 * PART_BYTES, 4 * PART_BYTES
JOB = a_job()


def keeping(size: int, letter: bytes = b"x") -> Course:
    """A course that keeps an answer of so many bytes."""
    course = a_course(JOB)
    (run,) = course.runs
    assert run is not None
    response = HttpResponse(status=200, headers={}, body=letter * size)
    return Course((replace(run, answers=(Answer(JOB.spec.regions[0], response),)),))


def note(store: SqliteStore, course: Course, job: Job = JOB) -> None:
    store.jobs.note_course(job.id, job.customer, JobState.RUNNING, course)


async def save(store: SqliteStore, course: Course) -> None:
    await store.jobs.save_course(JOB.id, JOB.customer, JobState.RUNNING, course)


async def written(store: SqliteStore) -> None:
    """Return when all that was noted is on disk, and what it took the place of is dropped."""
    while (work := store.jobs._large._work) is not None and not work.done():
        await asyncio.wait({work})
    for size in (0, PART_BYTES):
        await store.database.written(lambda _db: None, size=size)


async def course_on_disk(store: SqliteStore) -> Course | None:
    stored = await store.jobs.load(JOB.id)
    assert stored is not None
    return stored.course


async def parts_on_disk(store: SqliteStore) -> list[tuple[JobId, int]]:
    return await rows_of(store, "SELECT job_id, number FROM course_parts ORDER BY job_id, number")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("waits", [False, True], ids=["noted", "saved"])
async def test_a_course_is_read_as_it_was_written(on_disk: SqliteStore, size: int, *, waits: bool) -> None:
    await on_disk.jobs.submit(JOB)
    if waits:
        await save(on_disk, keeping(size))
    else:
        note(on_disk, keeping(size))
        await written(on_disk)
    assert await course_on_disk(on_disk) == keeping(size)
    assert len(await parts_on_disk(on_disk)) == size // PART_BYTES


async def test_no_commit_writes_more_than_a_part_or_drops_more_than_one(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(JOB)
    await save(on_disk, keeping(LARGER))
    with writer_held(on_disk) as statements:
        note(on_disk, keeping(LARGER, b"y"))
    await written(on_disk)
    commits = " ".join(text.split()[0] for text in statements).split("COMMIT")
    blobs = [len(text) // 2 for text in statements for text in re.findall("[xX]'([0-9a-fA-F]+)'", text)]
    assert len([size for size in blobs if size >= PART_BYTES]) == LARGER // PART_BYTES
    assert all(size <= PART_BYTES for size in blobs)
    assert sum("DELETE" in commit for commit in commits) == LARGER // PART_BYTES
    assert all(len(re.findall("INSERT|UPDATE|DELETE", commit)) <= 1 for commit in commits)


@pytest.mark.parametrize(
    "sizes", [(LARGE, SMALL), (SMALL, LARGE), (LARGE, LARGER), (LARGER, LARGE), (LARGER, SMALL, LARGE)]
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one after the other"])
async def test_a_job_is_as_far_as_its_latest_note_says_and_nothing_else_is_left(
    on_disk: SqliteStore, sizes: tuple[int, ...], *, at_once: bool
) -> None:
    await on_disk.jobs.submit(JOB)
    for number, size in enumerate(sizes):
        note(on_disk, keeping(size, b"%d" % number))
        if not at_once:
            await written(on_disk)
    await written(on_disk)
    assert await course_on_disk(on_disk) == keeping(sizes[-1], b"%d" % (len(sizes) - 1))
    assert len(await parts_on_disk(on_disk)) == sizes[-1] // PART_BYTES


@pytest.mark.parametrize("before", [SMALL, LARGE])
@pytest.mark.parametrize("saved", [SMALL, LARGE])
@pytest.mark.parametrize("after", [SMALL, LARGE])
async def test_a_save_undoes_no_later_note_and_no_earlier_one_undoes_it(
    on_disk: SqliteStore, before: int, saved: int, after: int
) -> None:
    await on_disk.jobs.submit(JOB)
    with writer_held(on_disk):
        note(on_disk, keeping(before, b"b"))
        saving = asyncio.ensure_future(save(on_disk, keeping(saved, b"s")))
        await asyncio.sleep(0)
    await saving
    assert await course_on_disk(on_disk) == keeping(saved, b"s")
    note(on_disk, keeping(after, b"a"))
    await written(on_disk)
    assert await course_on_disk(on_disk) == keeping(after, b"a")


async def test_a_small_note_that_comes_while_a_large_one_is_written_is_not_undone_by_it(
    on_disk: SqliteStore,
) -> None:
    await on_disk.jobs.submit(JOB)
    with writer_held(on_disk):
        note(on_disk, keeping(LARGER))
        await asyncio.sleep(0)
        note(on_disk, keeping(SMALL))
    await written(on_disk)
    assert await course_on_disk(on_disk) == keeping(SMALL)


async def test_a_read_sees_one_moment_however_much_it_asks_for(
    on_disk: SqliteStore, directory: SqliteKeeper
) -> None:
    """A row is read before the parts that it names, and they go when others take their place."""

    def twice(db: sqlite3.Connection) -> tuple[int, int]:
        before = db.execute("SELECT count(*) FROM jobs").fetchone()[0]
        with contextlib.closing(connect(directory.data_dir / DATABASE)) as other:
            other.execute("DELETE FROM jobs")
        return before, db.execute("SELECT count(*) FROM jobs").fetchone()[0]

    await on_disk.jobs.submit(JOB)
    assert await on_disk.database.lanes.work.read(twice) == (1, 1)
    assert await on_disk.jobs.load(JOB.id) is None


async def test_what_a_shard_wrote_that_died_midway_is_no_course_and_goes_with_the_next(
    on_disk: SqliteStore,
) -> None:
    await on_disk.jobs.submit(JOB)
    await save(on_disk, keeping(LARGE))
    left = memoryview(b"left behind")
    for number in (7, 8):
        await on_disk.database.written(lambda db, number=number: write_part(db, JOB.id, number, left))
    assert await course_on_disk(on_disk) == keeping(LARGE)
    await save(on_disk, keeping(LARGE, b"y"))
    assert await course_on_disk(on_disk) == keeping(LARGE, b"y")
    await written(on_disk)
    assert [number for _, number in await parts_on_disk(on_disk)] == [3, 4]


async def test_what_cannot_be_written_leaves_the_course_of_before_and_is_told(
    on_disk: SqliteStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await on_disk.jobs.submit(JOB)
    await save(on_disk, keeping(LARGE))
    whole, parts = GroupCommitWriter.write, []

    def failing(self: GroupCommitWriter, write: Write, *, size: int = 0) -> Any:
        def fail(_db: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("no room")

        parts.append(size)
        return whole(self, fail if len(parts) == 4 else write, size=size)

    with monkeypatch.context() as planted:
        planted.setattr(GroupCommitWriter, "write", failing)
        note(on_disk, keeping(LARGER, b"y"))
        await written(on_disk)
    assert "how far a job is could not be written: no room" in caplog.text
    assert await course_on_disk(on_disk) == keeping(LARGE)
    note(on_disk, keeping(LARGER, b"z"))
    await written(on_disk)
    assert await course_on_disk(on_disk) == keeping(LARGER, b"z")


@pytest.mark.parametrize("waits", [False, True], ids=["on disk", "on its way"])
async def test_the_end_of_a_job_takes_its_parts_along(on_disk: SqliteStore, *, waits: bool) -> None:
    await on_disk.jobs.submit(JOB)
    note(on_disk, keeping(LARGER))
    if not waits:
        await written(on_disk)
    await on_disk.jobs.end(an_ending(JOB))
    await written(on_disk)
    assert await parts_on_disk(on_disk) == []
    assert await course_on_disk(on_disk) == a_course(JOB)


async def test_what_an_earlier_life_left_of_a_job_that_ended_is_forgotten_a_few_parts_at_a_time(
    on_disk: SqliteStore, directory: SqliteKeeper
) -> None:
    await on_disk.jobs.submit(JOB)
    await save(on_disk, keeping(3 * DROPPED_AT_ONCE * PART_BYTES))
    await directory.close()
    store = await directory.open()
    await store.jobs.end(an_ending(JOB))
    assert len(await parts_on_disk(store)) == 3 * DROPPED_AT_ONCE
    await store.jobs.purge(NOW_MS)
    assert await parts_on_disk(store) == []


async def test_a_purge_leaves_the_course_of_a_job_under_way(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(JOB)
    await save(on_disk, keeping(LARGER))
    await on_disk.jobs.purge(NOW_MS + 40 * DAY_MS)
    assert await course_on_disk(on_disk) == keeping(LARGER)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM course_parts WHERE number = 2",
        "UPDATE course_parts SET part = zeroblob(length(part)) WHERE number = 1",
        "UPDATE course_parts SET number = 9 - number",
        "UPDATE jobs SET run_bytes = NULL",
        "UPDATE jobs SET run_bytes = 'many'",
        "UPDATE jobs SET run_second = 'one'",
        "UPDATE jobs SET run_second = NULL",
    ],
)
async def test_a_course_that_lost_a_part_is_damaged_and_its_job_is_still_read(
    on_disk: SqliteStore, damage: str
) -> None:
    await on_disk.jobs.submit(JOB)
    await save(on_disk, keeping(LARGER))
    await on_disk.database.written(lambda db: db.execute(damage).rowcount)
    stored = await on_disk.jobs.load(JOB.id)
    assert stored is not None
    assert (stored.state, stored.course) == (JobState.RUNNING, None)
    assert "run: " in str(stored.damage)


async def test_what_was_noted_is_on_disk_once_the_store_is_closed(tmp_path: Path) -> None:
    keeper = SqliteKeeper(tmp_path / "data")
    store = await keeper.open()
    await store.jobs.submit(JOB)
    note(store, keeping(LARGER))
    await keeper.close()
    assert await course_on_disk(await keeper.open()) == keeping(LARGER)
    await keeper.close()
