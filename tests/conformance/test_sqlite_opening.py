"""Who may open a data directory, and with which key."""

import contextlib
import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchestrator.adapters.sqlite import data_dir
from orchestrator.adapters.sqlite.data_dir import DATABASE, KEY_FILE, LOCK_FILE, DatabaseMissingError
from orchestrator.adapters.sqlite.key_check import WrongKeyError
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.jobs.job import Webhook
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.ports.store import Accepted, DeadFilter, JobFilter
from tests.conformance.stores import SqliteKeeper, again, an_ending, outbox_of, set_back, submit_all
from tests.unit.domain.builders import ACME, NOW_MS, a_job


async def test_a_new_directory_is_its_owners_only(directory: SqliteKeeper) -> None:
    await directory.open()
    assert stat.S_IMODE(directory.data_dir.stat().st_mode) == 0o700
    files = (KEY_FILE, LOCK_FILE, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.data_dir.iterdir()}
    assert modes == dict.fromkeys(files, 0o600)


async def test_another_key_file_is_refused_at_the_start(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    (directory.data_dir / KEY_FILE).write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(ValueError, match=r"sealed with a key .* does not hold: put back the key"):
        await directory.open()


async def test_a_missing_key_file_is_named_with_a_remedy_and_not_replaced(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    key_file = directory.data_dir / KEY_FILE
    right = key_file.read_text()
    key_file.unlink()
    for _ in range(2):
        with pytest.raises(WrongKeyError, match=f"{KEY_FILE} is missing.*put it back from its backup"):
            await directory.open()
    assert not key_file.exists()
    key_file.write_text(right)
    await directory.open()


async def test_a_missing_database_is_named_with_a_remedy_and_not_replaced(directory: SqliteKeeper) -> None:
    await (await directory.open()).jobs.submit(a_job())
    await directory.close()
    database = directory.data_dir / DATABASE
    aside = database.rename(database.with_suffix(".aside"))
    for _ in range(2):
        with pytest.raises(DatabaseMissingError, match=f"{DATABASE} is missing.*put it back"):
            await directory.open()
    aside.rename(database)
    assert len(await (await directory.open()).jobs.waiting()) == 1


async def test_a_key_that_rows_need_is_missed_and_one_that_none_needs_may_go(directory: SqliteKeeper) -> None:
    key_file = directory.data_dir / KEY_FILE
    job = a_job()
    await (await directory.open()).jobs.submit(job)
    await directory.close()
    old, new = key_file.read_text(), os.urandom(32).hex() + "\n"
    key_file.write_text(new + old)
    store = await directory.open()
    await store.jobs.submit(a_job(2))
    await directory.close()
    for lacks_one in (new, old):
        key_file.write_text(lacks_one)
        with pytest.raises(WrongKeyError, match=r"sealed with a key \(id [0-9a-f]{8}\)"):
            await directory.open()
    key_file.write_text(new + old)
    await directory.open()
    await directory.close()
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db:
        db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        db.commit()
    key_file.write_text(new)
    assert [found.id for found in await (await directory.open()).jobs.waiting()] == [a_job(2).id]


async def test_a_damaged_key_file_is_refused_by_name(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    (directory.data_dir / KEY_FILE).write_text("not a key\n")
    with pytest.raises(ValueError, match=f"{KEY_FILE} must hold encryption keys"):
        await directory.open()


async def test_a_refused_start_leaves_the_directory_to_the_next_one(directory: SqliteKeeper) -> None:
    job = a_job()
    await (await directory.open()).jobs.submit(job)
    await directory.close()
    key_file = directory.data_dir / KEY_FILE
    right = key_file.read_text()
    key_file.write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(WrongKeyError, match="key"):
        await directory.open()
    key_file.write_text(right)
    assert await (await directory.open()).jobs.load(job.id) is not None


async def test_a_key_put_on_top_seals_anew_and_the_old_one_still_opens(directory: SqliteKeeper) -> None:
    first = a_job()
    await (await directory.open()).jobs.submit(first)
    key_file = directory.data_dir / KEY_FILE
    key_file.write_text(os.urandom(32).hex() + "\n" + key_file.read_text())
    store = await directory.open()
    second = a_job(2)
    assert await store.jobs.submit(second) == Accepted(second)
    assert [await store.jobs.load(job.id) is not None for job in (first, second)] == [True, True]
    answer = await store.jobs.submit(again(first, 3))
    assert not isinstance(answer, Accepted)
    assert answer.payload_mismatch is False


async def test_a_directory_is_opened_once_at_a_time(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_dir, "LOCK_WAIT_S", 0.0)
    await directory.open()
    with pytest.raises(RuntimeError, match=f"another process holds {directory.data_dir}.*--data-dir"):
        SqliteStore(directory.data_dir)


async def test_a_closed_directory_can_be_opened_again(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_dir, "LOCK_WAIT_S", 0.0)
    await directory.open()
    await directory.close()
    await directory.open()
    assert (directory.data_dir / DATABASE).exists()


def make_it_older(directory: SqliteKeeper) -> None:
    """Rewrite a directory as the first version would have made it."""
    database = directory.data_dir / DATABASE
    set_back(directory, 0)
    newer = database.rename(database.with_suffix(".newer"))
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.executescript(FIRST_SCHEMA.read_text())
        db.execute("ATTACH ? AS newer", (str(newer),))
        for table in ("shard", "jobs", "deliveries"):
            columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} SELECT {columns} FROM newer.{table}")
        db.commit()


FIRST_SCHEMA = Path(__file__).with_name("first_schema.sql")
HOOKS = (Webhook(url="http://a.example.com/hook"), Webhook(url="https://b.example.com:8443/hook"))


async def test_a_directory_of_an_earlier_version_is_completed(directory: SqliteKeeper) -> None:
    ended, waiting, later = a_job(webhooks=HOOKS), a_job(2), a_job(3, webhooks=HOOKS)
    store = await directory.open()
    await submit_all(store, (ended, waiting))
    await store.jobs.end(an_ending(ended))
    await directory.close()
    make_it_older(directory)

    store = await directory.open()
    assert [job.id for job in await store.jobs.waiting()] == [waiting.id]
    found = await store.jobs.load(ended.id)
    assert found is not None
    assert (found.job, found.result) == (ended, an_ending(ended).result)
    await store.jobs.submit(later)
    await store.jobs.end(an_ending(later))
    assert (
        len((await store.history.jobs_of(JobFilter(customer=ended.customer), now_ms=NOW_MS, most=10)).jobs)
        == 3
    )


async def test_deliveries_of_an_earlier_version_are_told_apart_by_their_receivers(
    directory: SqliteKeeper,
) -> None:
    job = a_job(webhooks=HOOKS)
    pending, failed = outbox_of(job)
    store = await directory.open()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    await store.jobs.save_delivery(replace(failed, state=DeliveryState.FAILED))
    await directory.close()
    make_it_older(directory)

    store = await directory.open()
    assert [entry.endpoint for entry in await store.jobs.outbox()] == [pending.endpoint]
    wanted = DeadFilter(customer=job.customer, endpoint=failed.endpoint)
    assert [entry.id for entry in await store.history.dead_deliveries(wanted, most=10)] == [failed.id]


async def test_an_earlier_version_with_another_key_is_left_as_it_was(directory: SqliteKeeper) -> None:
    job = a_job(webhooks=HOOKS)
    store = await directory.open()
    await store.jobs.submit(job)
    await store.jobs.end(an_ending(job))
    await directory.close()
    make_it_older(directory)
    key_file = directory.data_dir / KEY_FILE
    right = key_file.read_text()
    key_file.write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(ValueError, match=r"sealed with a key .* does not hold: put back the key"):
        await directory.open()

    key_file.write_text(right)
    assert [entry.endpoint for entry in await (await directory.open()).jobs.outbox()] == [
        entry.endpoint for entry in outbox_of(job)
    ]


async def test_targets_that_an_earlier_version_knew_count_as_used_on_the_day_they_are_read(
    directory: SqliteKeeper,
) -> None:
    store, domain = await directory.open(), TargetDomain("a.example.com")
    store.jobs.note_domain(ACME, domain)
    store.jobs.note_pace(domain, Learned(pace=Pace(5.0, 3)))
    await directory.close()
    with contextlib.closing(sqlite3.connect(directory.data_dir / DATABASE)) as db:
        for table in ("lessons", "customer_domains"):
            db.execute(f"DROP INDEX {table}_used")
            db.execute(f"ALTER TABLE {table} DROP COLUMN used_day")
        db.commit()

    store = await directory.open()
    await store.jobs.purge(time.time_ns() // 1_000_000)
    assert [*await store.jobs.paces()] == [*await store.history.domains_of(ACME, 10)] == [domain]
