"""A disk that takes nothing more: what can't be stored is not acknowledged, and what was stays."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.adapters.sqlite.disk_retry import Patience
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.customers import WebhookSecrets
from orchestrator.ports.store import StoreFailure
from tests.conformance.stores import SqliteKeeper, a_course, an_ending
from tests.unit.domain.builders import ACME, NOW_MS, a_job

LARGE = "x" * 100_000
NO_LIMIT = 2**31
SECRETS = WebhookSecrets(primary=LARGE)


def fill(store: SqliteStore) -> None:
    """Let the database grow no more."""
    pages = store.database.connection.execute("PRAGMA page_count").fetchone()[0]
    store.database.connection.execute(f"PRAGMA max_page_count = {pages}")


def make_room(store: SqliteStore) -> None:
    store.database.connection.execute(f"PRAGMA max_page_count = {NO_LIMIT}")


@contextlib.asynccontextmanager
async def opened(data_dir: Path, patience: Patience) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(data_dir, patience=patience)
    try:
        yield store
    finally:
        await store.close()


async def until_logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """The disk's refusal is seen by the writer's thread: nothing else says when."""
    async with asyncio.timeout(10):
        while words not in caplog.text:  # noqa: ASYNC110  # a log has no event
            await asyncio.sleep(0.001)


async def test_a_job_that_does_not_fit_is_refused_and_the_others_stay(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(a_job(1))
    fill(on_disk)

    with pytest.raises(StoreFailure, match="full"):
        await on_disk.jobs.submit(a_job(2, body=LARGE))

    assert [waiting.id for waiting in await on_disk.jobs.waiting()] == [a_job(1).id]


async def test_a_full_disk_is_told_of_until_a_write_has_found_room_again(on_disk: SqliteStore) -> None:
    assert on_disk.refused == ""
    fill(on_disk)
    with pytest.raises(StoreFailure):
        await on_disk.jobs.submit(a_job(1, body=LARGE))
    assert "full" in on_disk.refused
    make_room(on_disk)
    async with asyncio.timeout(10):
        while on_disk.refused:  # noqa: ASYNC110  # asking is what lets it be tried
            await asyncio.sleep(0.001)


async def test_commits_are_timed_and_the_disk_is_measured(on_disk: SqliteStore) -> None:
    before = on_disk.numbers().commit_seconds.count
    await on_disk.jobs.submit(a_job(1))
    numbers = on_disk.numbers()
    assert numbers.commit_seconds.count == before + 1
    assert numbers.room is not None
    assert 0 < numbers.room.free_bytes <= numbers.room.size_bytes
    assert numbers.room.database_bytes + numbers.room.log_bytes > 0


async def test_an_end_waits_until_there_is_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path, Patience(pause_s=0.001)) as store:
        job = a_job()
        await store.jobs.submit(job)
        fill(store)
        ending = asyncio.ensure_future(store.jobs.end(an_ending(job, result=LARGE.encode())))
        await until_logged(caplog, "a job's end could not be written")
        assert not ending.done()
        make_room(store)
        await ending
        stored = await store.jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.result) == (JobState.SUCCESS, LARGE.encode())


async def test_a_mark_before_an_attempt_waits_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, Patience(pause_s=0.001)) as store:
        job = a_job()
        await store.jobs.submit(job)
        fill(store)
        course = a_course(job, attempts=2_000)
        saving = asyncio.ensure_future(store.jobs.save_course(job.id, job.customer, JobState.RUNNING, course))
        await until_logged(caplog, "how far a job is could not be written")
        make_room(store)
        await saving
        stored = await store.jobs.load(job.id)
    assert stored is not None
    assert stored.course == course


async def test_a_disk_that_stays_full_is_not_waited_for_without_end(tmp_path: Path) -> None:
    async with opened(tmp_path, Patience(lasts_s=0.0)) as store:
        job = a_job()
        await store.jobs.submit(job)
        fill(store)
        with pytest.raises(StoreFailure, match="full"):
            await store.jobs.end(an_ending(job, result=LARGE.encode()))


async def test_a_request_is_told_at_once_that_the_disk_is_full(on_disk: SqliteStore) -> None:
    fill(on_disk)
    with pytest.raises(StoreFailure, match="full"):
        await on_disk.customers.put_secrets(ACME, SECRETS)


async def test_what_is_past_its_keeping_stays_where_the_disk_takes_nothing(
    on_disk: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    on_disk.database.connection.execute("PRAGMA query_only = ON")
    job = a_job()
    await on_disk.jobs.purge(NOW_MS)
    assert "could not be forgotten" in caplog.text
    on_disk.database.connection.execute("PRAGMA query_only = OFF")
    await on_disk.jobs.submit(job)


async def test_a_directory_that_can_not_be_opened_just_now_is_no_wrong_one(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    database = directory.data_dir / DATABASE
    database.with_name(f"{DATABASE}-wal").mkdir()
    with pytest.raises(StoreFailure, match=r"unable to open|I/O"):
        await directory.open()
    database.with_name(f"{DATABASE}-wal").rmdir()
    database.write_text("no database" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        await directory.open()
