"""How the store on disk commits: together, durably, and each write by itself where one is bad."""

import asyncio
import contextlib
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite import new_jobs, retention
from orchestrator.adapters.sqlite.course_notes import NOTES_MOST
from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.adapters.sqlite.group_commit import (
    LARGE_COMMIT_BYTES,
    LARGE_WRITE_BYTES,
    RESTS_TIMES,
    Write,
)
from orchestrator.adapters.sqlite.result_parts import PART_BYTES
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.retention import Retention
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.ports.store import Accepted, Duplicate
from tests.conformance.stores import (
    SqliteKeeper,
    a_course,
    again,
    an_ending,
    flush,
    outbox_of,
    rows_of,
    submit_all,
)
from tests.unit.domain.builders import ACME, NOW_MS, a_job

FULL = 2
LARGE = new_jobs.LARGE_BODY
DAY_MS = 24 * 3600 * 1000


@contextlib.asynccontextmanager
async def opened(data_dir: Path, kept: Retention) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(data_dir, retention=kept)
    try:
        yield store
    finally:
        await store.close()


@contextlib.contextmanager
def writer_held(store: SqliteStore) -> Iterator[list[str]]:
    """Hold the writer, so that what is asked for meanwhile is one group; give the statements it then runs."""
    statements: list[str] = []
    held, release = threading.Event(), threading.Event()

    def hold(db: sqlite3.Connection) -> None:
        held.set()
        release.wait()
        db.set_trace_callback(statements.append)

    store.database.writer.post(hold)
    held.wait()
    try:
        yield statements
    finally:
        release.set()


def boundaries(statements: list[str]) -> list[str]:
    return [text for text in statements if text.split()[0] in {"BEGIN", "COMMIT", "ROLLBACK"}]


def bad_write(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO lessons VALUES ('half.done', x'00', 0)")
    db.execute("INSERT INTO no_such_table VALUES (1)")


@pytest.mark.parametrize(
    ("pragma", "setting"), [("synchronous", FULL), ("journal_mode", "wal"), ("secure_delete", 1)]
)
async def test_the_writer_commits_durably(on_disk: SqliteStore, pragma: str, setting: object) -> None:
    row = await on_disk.database.writer.write(lambda db: db.execute(f"PRAGMA {pragma}").fetchone())
    assert tuple(row) == (setting,)


async def test_what_was_asked_for_during_a_commit_is_one_commit(on_disk: SqliteStore) -> None:
    with writer_held(on_disk) as statements:
        answers = [asyncio.ensure_future(on_disk.jobs.submit(a_job(number))) for number in range(20)]
        await asyncio.sleep(0)
    assert all(isinstance(answer, Accepted) for answer in await asyncio.gather(*answers))
    assert boundaries(statements) == ["COMMIT", "BEGIN IMMEDIATE", "COMMIT"]


async def test_a_small_write_waits_for_one_large_one_at_most(on_disk: SqliteStore) -> None:
    order: list[str] = []

    def write(name: str) -> Write:
        return lambda _db: order.append(name)

    with writer_held(on_disk) as statements:
        large = [
            on_disk.database.writer.write(write(f"large {n}"), size=LARGE_COMMIT_BYTES) for n in range(3)
        ]
        small = [on_disk.database.writer.write(write(f"small {n}")) for n in range(2)]
    await asyncio.gather(*small, *large)
    assert order == ["small 0", "small 1", "large 0", "large 1", "large 2"]
    assert boundaries(statements) == ["COMMIT", *["BEGIN IMMEDIATE", "COMMIT"] * 4]


async def test_many_middling_writes_share_commits_of_so_many_bytes_and_a_small_one_goes_first(
    on_disk: SqliteStore,
) -> None:
    order: list[str] = []
    writer, size = on_disk.database.writer, LARGE_COMMIT_BYTES // 4
    with writer_held(on_disk) as statements:
        middling = [writer.write(lambda _db: order.append("middling"), size=size) for _ in range(9)]
        small = writer.write(lambda _db: order.append("small"))
    await asyncio.gather(small, *middling)
    assert order == ["small", *["middling"] * 9]
    assert boundaries(statements) == ["COMMIT", *["BEGIN IMMEDIATE", "COMMIT"] * (1 + 3)]


async def test_what_comes_meanwhile_goes_between_two_large_writes(on_disk: SqliteStore) -> None:
    order: list[str] = []
    writer = on_disk.database.writer

    def first(_db: sqlite3.Connection) -> None:
        order.append("large 0")
        writer.post(lambda _db: order.append("small"))

    both = [
        writer.write(first, size=LARGE_COMMIT_BYTES),
        writer.write(lambda _db: order.append("large 1"), size=LARGE_COMMIT_BYTES),
    ]
    await asyncio.gather(*both)
    assert order == ["large 0", "small", "large 1"]


async def test_a_large_write_waits_longer_than_the_one_before_it_took(on_disk: SqliteStore) -> None:
    moments: list[float] = []

    def slow(_db: sqlite3.Connection) -> None:
        time.sleep(0.02)
        moments.append(time.monotonic())

    writer = on_disk.database.writer
    await asyncio.gather(*(writer.write(slow, size=LARGE_COMMIT_BYTES) for _ in range(3)))
    took, rests = 0.02, 0.02 * RESTS_TIMES
    assert all(later - earlier >= took + rests for earlier, later in itertools.pairwise(moments))


async def test_large_writes_that_wait_are_committed_before_the_store_closes(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", Retention()) as store:
        with writer_held(store):
            writes = [store.database.writer.write(lambda _db: None, size=LARGE_WRITE_BYTES) for _ in range(3)]
    assert all(write.done() for write in writes)


async def test_a_large_result_is_committed_apart_in_parts(on_disk: SqliteStore) -> None:
    jobs = [a_job(number) for number in range(2)]
    await on_disk.jobs.submit_many(jobs)
    ends = [an_ending(jobs[0], result=b"x" * (2 * PART_BYTES)), an_ending(jobs[1])]
    with writer_held(on_disk) as statements:
        written = [asyncio.ensure_future(on_disk.jobs.end(end)) for end in ends]
        await asyncio.sleep(0)
    await asyncio.gather(*written)
    assert boundaries(statements) == ["COMMIT", *["BEGIN IMMEDIATE", "COMMIT"] * 4]


async def test_what_was_committed_is_moved_out_of_the_log_beside_the_writer(
    directory: SqliteKeeper, on_disk: SqliteStore
) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    await on_disk.jobs.end(an_ending(job, result=b"x" * 20 * PART_BYTES))
    database = directory.data_dir / DATABASE
    while database.stat().st_size < 10 * PART_BYTES:  # noqa: ASYNC110  # SQLite tells nobody
        await asyncio.sleep(0.01)


async def test_what_was_moved_out_of_the_log_is_made_durable_at_once(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _descriptor: synced.set())
    job = a_job()
    await on_disk.jobs.submit(job)
    await on_disk.jobs.end(an_ending(job, result=b"x" * 20 * PART_BYTES))
    assert await asyncio.to_thread(synced.wait, 10)


async def test_one_bad_write_does_not_take_its_neighbours_along(on_disk: SqliteStore) -> None:
    with writer_held(on_disk) as statements:
        before = asyncio.ensure_future(on_disk.jobs.submit(a_job(1)))
        await asyncio.sleep(0)
        bad = on_disk.database.writer.write(bad_write)
        after = asyncio.ensure_future(on_disk.jobs.submit(a_job(2)))
        await asyncio.sleep(0)
    assert isinstance(await before, Accepted)
    assert isinstance(await after, Accepted)
    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        await bad
    assert "ROLLBACK" in boundaries(statements)
    assert len(await on_disk.jobs.waiting()) == 2
    assert await on_disk.jobs.paces() == {}


async def test_a_bad_write_that_nobody_waits_for_is_logged(
    on_disk: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    on_disk.database.writer.post(bad_write)
    await flush(on_disk)
    assert "no_such_table" in caplog.text


async def test_a_writer_goes_on_after_a_bad_write(on_disk: SqliteStore) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await on_disk.database.writer.write(bad_write)
    assert isinstance(await on_disk.jobs.submit(a_job()), Accepted)


async def test_a_caller_that_gave_up_does_not_disturb_its_commit(on_disk: SqliteStore) -> None:
    with writer_held(on_disk):
        impatient = asyncio.ensure_future(on_disk.jobs.submit(a_job(1)))
        patient = asyncio.ensure_future(on_disk.jobs.submit(a_job(2)))
        await asyncio.sleep(0)
        impatient.cancel()
    assert isinstance(await patient, Accepted)
    assert len(await on_disk.jobs.waiting()) == 2


def course_updates(statements: list[str]) -> list[str]:
    return [text for text in statements if text.startswith("UPDATE jobs SET state = ") and "run = " in text]


def with_answer(job: Job, size: int) -> Course:
    course = a_course(job)
    (run,) = course.runs
    assert run is not None
    response = HttpResponse(status=500, headers={}, body=b"x" * size)
    return Course((replace(run, last_seen=Answer(job.spec.regions[0], response)),))


async def test_a_note_that_keeps_a_large_answer_is_committed_apart(on_disk: SqliteStore) -> None:
    job, other = a_job(1), a_job(2)
    await on_disk.jobs.submit_many([job, other])
    with writer_held(on_disk) as statements:
        large = with_answer(job, LARGE_WRITE_BYTES)
        on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, large)
        on_disk.jobs.note_course(other.id, other.customer, JobState.RUNNING, a_course(other))
    await on_disk.database.writer.write(lambda _db: None, size=LARGE_COMMIT_BYTES)
    assert boundaries(statements) == ["COMMIT", *["BEGIN IMMEDIATE", "COMMIT"] * 3]
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert stored.course == large


@pytest.mark.parametrize("sizes", [(LARGE_WRITE_BYTES, 1), (1, LARGE_WRITE_BYTES), (LARGE_WRITE_BYTES,) * 3])
async def test_a_job_is_as_far_as_its_latest_note_says_whatever_their_sizes(
    on_disk: SqliteStore, sizes: tuple[int, ...]
) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    notes = [with_answer(job, size) for size in sizes]
    with writer_held(on_disk):
        for note in notes:
            on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, note)
    await on_disk.database.writer.write(lambda _db: None, size=LARGE_WRITE_BYTES)
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert stored.course == notes[-1]


async def test_a_large_note_is_not_written_over_what_was_saved_since(on_disk: SqliteStore) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    with writer_held(on_disk):
        large = with_answer(job, LARGE_WRITE_BYTES)
        on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, large)
        saved = a_course(job, attempts=2)
        saving = asyncio.ensure_future(
            on_disk.jobs.save_course(job.id, job.customer, JobState.RUNNING, saved)
        )
        await asyncio.sleep(0)
    await saving
    await on_disk.database.writer.write(lambda _db: None, size=LARGE_WRITE_BYTES)
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert stored.course == saved


async def test_of_many_notes_about_a_job_only_the_latest_is_written(on_disk: SqliteStore) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    with writer_held(on_disk) as statements:
        for attempts in (1, 2, 3):
            course = a_course(job, attempts=attempts)
            on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, course)
    await flush(on_disk)
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert stored.course == a_course(job, attempts=3)
    assert len(course_updates(statements)) == 1


async def test_of_very_many_notes_a_commit_carries_some_and_none_is_left(on_disk: SqliteStore) -> None:
    jobs = [a_job(number) for number in range(2 * NOTES_MOST + 1)]
    await on_disk.jobs.submit_many(jobs)
    with writer_held(on_disk) as statements:
        for job in jobs:
            on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, a_course(job))
    await flush(on_disk)
    await flush(on_disk)
    await flush(on_disk)
    assert len(course_updates(statements)) == len(jobs)
    assert boundaries(statements).count("COMMIT") >= 1 + 3


async def test_a_note_about_a_job_that_ends_is_not_written(on_disk: SqliteStore) -> None:
    job, other = a_job(1), a_job(2)
    await submit_all(on_disk, [job, other])
    with writer_held(on_disk) as statements:
        for noted in (job, other):
            on_disk.jobs.note_course(noted.id, noted.customer, JobState.RUNNING, a_course(noted))
        end = asyncio.ensure_future(on_disk.jobs.end(an_ending(job)))
        await asyncio.sleep(0)
    await end
    noted_only = [text for text in course_updates(statements) if "ended_ms = " not in text]
    assert len(noted_only) == 1
    assert other.id in noted_only[0]


async def test_a_note_that_follows_a_save_is_not_undone_by_it(on_disk: SqliteStore) -> None:
    job, other = a_job(1), a_job(2)
    await submit_all(on_disk, [job, other])
    with writer_held(on_disk):
        on_disk.jobs.note_course(other.id, other.customer, JobState.RUNNING, a_course(other))
        mark = a_course(job, attempts=1)
        saved = asyncio.ensure_future(on_disk.jobs.save_course(job.id, job.customer, JobState.RUNNING, mark))
        await asyncio.sleep(0)
        on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, a_course(job, attempts=2))
    await saved
    await flush(on_disk)
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert stored.course == a_course(job, attempts=2)


async def test_notes_survive_a_neighbour_that_is_rolled_back(on_disk: SqliteStore) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    with writer_held(on_disk):
        on_disk.jobs.note_course(job.id, job.customer, JobState.RUNNING, a_course(job))
        bad = on_disk.database.writer.write(bad_write)
    with pytest.raises(sqlite3.OperationalError):
        await bad
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.course) == (JobState.RUNNING, a_course(job))


async def test_an_end_without_its_outbox_is_no_end(on_disk: SqliteStore) -> None:
    job = a_job(webhooks=(Webhook(url="https://a.example.com/"), Webhook(url="https://b.example.com/")))
    await on_disk.jobs.submit(job)
    first, second = outbox_of(job)
    with pytest.raises(sqlite3.IntegrityError):
        await on_disk.jobs.end(an_ending(job, outbox=(first, replace(second, index=first.index))))
    stored = await on_disk.jobs.load(job.id)
    assert stored is not None
    assert (stored.state, stored.ended_ms, stored.deliveries) == (JobState.QUEUED, None, ())


async def test_a_second_end_takes_no_neighbour_along(on_disk: SqliteStore) -> None:
    job, other = a_job(1), a_job(2)
    await submit_all(on_disk, [job, other])
    with writer_held(on_disk):
        ends = [
            asyncio.ensure_future(on_disk.jobs.end(ending))
            for ending in (an_ending(job), an_ending(job), an_ending(other))
        ]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*ends, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, RuntimeError, list]


async def test_a_purge_forgets_everything_that_is_due_however_much(on_disk: SqliteStore) -> None:
    jobs = [a_job(number) for number in range(2_100)]
    await submit_all(on_disk, jobs)
    await asyncio.gather(*(on_disk.jobs.end(an_ending(job)) for job in jobs))
    await on_disk.jobs.purge(NOW_MS + 7 * DAY_MS)
    kept = "SELECT count(*) FROM jobs WHERE length(request) > 0 OR run IS NOT NULL OR result IS NOT NULL"
    assert await rows_of(on_disk, kept) == [(0,)]
    await on_disk.jobs.purge(NOW_MS + 30 * DAY_MS)
    (left,) = (await rows_of(on_disk, "SELECT count(*) FROM jobs"))[0]
    assert left == 0


async def test_a_batch_of_a_purge_is_bounded_by_what_it_writes_over(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [a_job(number, body="x" * 10_000) for number in range(20)]
    await submit_all(on_disk, jobs)
    await asyncio.gather(*(on_disk.jobs.end(an_ending(job)) for job in jobs))
    monkeypatch.setattr(retention, "PURGE_BYTES", 50_000)
    sizes: list[int] = []
    whole = retention.purge

    def counted(*arguments: Any) -> bool:
        before = arguments[0].total_changes
        more = whole(*arguments)
        sizes.append(arguments[0].total_changes - before)
        return more

    monkeypatch.setattr(retention, "purge", counted)
    await on_disk.jobs.purge(NOW_MS + 7 * DAY_MS)
    assert await rows_of(on_disk, "SELECT count(*) FROM jobs WHERE result IS NOT NULL") == [(0,)]
    # The first frees the keys as well.
    assert sizes == [25, 5, 5, 5]


async def test_a_key_is_held_for_its_day_however_short_payloads_are_kept(directory: SqliteKeeper) -> None:
    kept = Retention(payload_ms=DAY_MS // 24, summary_ms=DAY_MS // 24)
    job = a_job(1)
    async with opened(directory.data_dir, kept) as store:
        await store.jobs.submit(job)
        await store.jobs.end(an_ending(job))
        await store.jobs.purge(NOW_MS + DAY_MS - 1)
        assert await store.jobs.load(job.id) is None
        assert isinstance(await store.jobs.submit(again(job, 2)), Duplicate)
        await store.jobs.purge(NOW_MS + DAY_MS)
        assert isinstance(await store.jobs.submit(again(job, 3)), Accepted)


async def test_what_is_known_of_a_target_is_forgotten_a_month_after_its_last_job(
    on_disk: SqliteStore,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    used, unused = TargetDomain("used.example.com"), TargetDomain("unused.example.com")
    for domain in (used, unused):
        on_disk.jobs.note_pace(domain, Learned(pace=Pace(5.0, 3)))
        on_disk.jobs.note_domain(ACME, domain)
    await on_disk.jobs.purge(now_ms + 29 * DAY_MS)
    assert (
        set(await on_disk.jobs.paces()) == set(await on_disk.history.domains_of(ACME, 10)) == {used, unused}
    )

    old = "UPDATE {} SET used_day = used_day - 31"
    for table in ("lessons", "customer_domains"):
        await on_disk.database.writer.write(lambda db, table=table: db.execute(old.format(table)).rowcount)
    on_disk.jobs.note_domain(ACME, used)
    await on_disk.jobs.purge(now_ms)
    assert [*await on_disk.jobs.paces()] == [*await on_disk.history.domains_of(ACME, 10)] == [used]


async def test_readers_do_not_wait_for_the_writer(on_disk: SqliteStore) -> None:
    job = a_job()
    await on_disk.jobs.submit(job)
    with writer_held(on_disk):
        assert await on_disk.jobs.load(job.id) is not None


async def test_a_large_job_is_encrypted_beside_the_loop_and_a_small_one_on_it(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    pack = new_jobs.pack_request

    def noted(record: dict[str, Any], traceparent: str | None) -> bytes:
        threads.append(threading.get_ident())
        return pack(record, traceparent)

    monkeypatch.setattr(new_jobs, "pack_request", noted)
    small, large, alone = (a_job(n, body="x" * size) for n, size in enumerate((1, LARGE, LARGE), 1))
    assert await on_disk.jobs.submit_many([small, large]) == [Accepted(small), Accepted(large)]
    assert await on_disk.jobs.submit(alone) == Accepted(alone)
    assert [thread == threading.get_ident() for thread in threads] == [True, False, False]
    stored = await on_disk.jobs.load(large.id)
    assert stored is not None
    assert stored.job == large
