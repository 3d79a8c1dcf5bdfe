"""A large result is written in parts, and is one again for whoever reads it."""

import asyncio
import itertools
import re
import sqlite3
from typing import Any

import pytest

from orchestrator.adapters.sqlite import retention
from orchestrator.adapters.sqlite.endings import write_all_but_first
from orchestrator.adapters.sqlite.result_parts import DROPPED_AT_ONCE, PART_BYTES
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.store import DamagedError
from tests.conformance.stores import SqliteKeeper, an_ending, rows_of
from tests.conformance.test_sqlite_writing import writer_held
from tests.unit.domain.builders import NOW_MS, a_job

DAY_MS = 24 * 3600 * 1000
SIZES = (1, PART_BYTES - 100, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 7)
JOB = a_job()


def a_result(size: int) -> bytes:
    return bytes(number * 7 % 251 for number in range(997)) * (size // 997) + b"z" * (size % 997)


async def parts_on_disk(store: SqliteStore) -> list[tuple[JobId, int]]:
    return await rows_of(store, "SELECT job_id, number FROM result_parts ORDER BY job_id, number")


@pytest.mark.parametrize("size", SIZES)
async def test_a_result_is_read_as_it_was_written(on_disk: SqliteStore, size: int) -> None:
    await on_disk.jobs.submit(JOB)
    await on_disk.jobs.end(an_ending(JOB, result=a_result(size)))
    stored = await on_disk.jobs.load(JOB.id)
    assert stored is not None
    assert stored.result == await on_disk.jobs.result(JOB.id) == a_result(size)
    assert stored.result_bytes >= size


async def test_no_commit_holds_more_than_one_part(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(JOB)
    with writer_held(on_disk) as statements:
        end = asyncio.ensure_future(on_disk.jobs.end(an_ending(JOB, result=a_result(5 * PART_BYTES))))
        await asyncio.sleep(0)
    await end
    blobs = [len(text) // 2 for text in statements for text in re.findall("[xX]'([0-9a-fA-F]+)'", text)]
    assert len([size for size in blobs if size >= PART_BYTES]) == 5
    assert all(size <= PART_BYTES for size in blobs)
    kinds = "".join(text.split()[0][0] for text in statements)
    assert "II" not in kinds.replace("SI", "I"), "two parts share a commit"


async def test_what_an_earlier_life_left_behind_is_no_part_of_a_later_result(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(JOB)
    await write_all_but_first(on_disk.database, JOB.id, b"left behind" * PART_BYTES)  # the shard dies here
    result = a_result(2 * PART_BYTES)
    await on_disk.jobs.end(an_ending(JOB, result=result))
    assert len(await parts_on_disk(on_disk)) > 2
    assert await on_disk.jobs.result(JOB.id) == result


async def test_the_parts_of_a_job_that_has_ended_stay_as_they_are(on_disk: SqliteStore) -> None:
    await on_disk.jobs.submit(JOB)
    result = a_result(3 * PART_BYTES)
    await on_disk.jobs.end(an_ending(JOB, result=result))
    with pytest.raises(RuntimeError, match="has ended already"):
        await on_disk.jobs.end(an_ending(JOB, result=b"another" * PART_BYTES))
    assert await on_disk.jobs.result(JOB.id) == result


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM result_parts WHERE number = 2",
        "UPDATE result_parts SET part = zeroblob(length(part)) WHERE number = 1",
        "UPDATE result_parts SET number = 9 - number",
        "UPDATE jobs SET result_bytes = NULL",
        "UPDATE jobs SET result_bytes = 'many'",
    ],
)
async def test_a_result_that_lost_a_part_is_damaged_and_its_job_is_still_read(
    directory: SqliteKeeper, on_disk: SqliteStore, damage: str
) -> None:
    await on_disk.jobs.submit(JOB)
    await on_disk.jobs.end(an_ending(JOB, result=a_result(4 * PART_BYTES)))
    await on_disk.database.written(lambda db: db.execute(damage).rowcount)
    with pytest.raises(DamagedError, match="result"):
        await on_disk.jobs.result(JOB.id)
    stored = await on_disk.jobs.load(JOB.id)
    assert stored is not None
    assert (stored.state, stored.result) == (JobState.SUCCESS, None)
    assert "result" in str(stored.damage)


@pytest.mark.parametrize("parts", [3, 1 + DROPPED_AT_ONCE, 2 * DROPPED_AT_ONCE + 3])
async def test_parts_are_forgotten_with_their_payload_a_few_at_a_time(
    on_disk: SqliteStore, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    jobs = [a_job(number) for number in (1, 2)]
    await on_disk.jobs.submit_many(jobs)
    for job in jobs:
        await on_disk.jobs.end(an_ending(job, result=a_result(parts * PART_BYTES)))
    left: list[int] = [len(await parts_on_disk(on_disk))]
    whole = retention.purge

    def counted(db: sqlite3.Connection, *rest: Any) -> bool:
        more = whole(db, *rest)
        left.append(db.execute("SELECT count(*) FROM result_parts").fetchone()[0])
        return more

    monkeypatch.setattr(retention, "purge", counted)
    await on_disk.jobs.purge(NOW_MS + 8 * DAY_MS)
    assert left[0] == 2 * parts
    assert left[-1] == 0
    assert all(before - after <= DROPPED_AT_ONCE for before, after in itertools.pairwise(left))
    assert await rows_of(on_disk, "SELECT * FROM parts_left") == []
