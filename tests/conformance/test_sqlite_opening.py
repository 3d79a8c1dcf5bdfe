"""Who may open a data directory, and with which key."""

import os
import stat

import pytest

from orchestrator.adapters.store import sqlite
from orchestrator.adapters.store.sqlite import DATABASE, KEY_FILE, SqliteStore
from orchestrator.ports.store import Accepted
from tests.conformance.stores import SqliteKeeper, again
from tests.unit.domain.builders import a_job


async def test_a_new_directory_is_its_owners_only(directory: SqliteKeeper) -> None:
    await directory.open()
    assert stat.S_IMODE(directory.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory.data_dir / KEY_FILE).stat().st_mode) == 0o600


async def test_another_key_file_is_refused_at_the_start(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    (directory.data_dir / KEY_FILE).write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(ValueError, match="a key that this data directory does not have"):
        await directory.open()


async def test_a_missing_key_file_is_refused_where_there_is_data(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    (directory.data_dir / KEY_FILE).unlink()
    with pytest.raises(ValueError, match="a key that this data directory does not have"):
        await directory.open()


async def test_a_damaged_key_file_is_refused_by_name(directory: SqliteKeeper) -> None:
    await directory.open()
    await directory.close()
    (directory.data_dir / KEY_FILE).write_text("not a key\n")
    with pytest.raises(ValueError, match=f"{KEY_FILE} must hold encryption keys"):
        await directory.open()


async def test_a_refused_start_leaves_the_directory_to_the_next_one(directory: SqliteKeeper) -> None:
    job = a_job()
    await (await directory.open()).submit(job)
    await directory.close()
    key_file = directory.data_dir / KEY_FILE
    right = key_file.read_text()
    key_file.write_text(os.urandom(32).hex() + "\n")
    with pytest.raises(ValueError, match="key"):
        await directory.open()
    key_file.write_text(right)
    assert await (await directory.open()).load(job.id) is not None


async def test_a_key_put_on_top_seals_anew_and_the_old_one_still_opens(directory: SqliteKeeper) -> None:
    first = a_job()
    await (await directory.open()).submit(first)
    key_file = directory.data_dir / KEY_FILE
    key_file.write_text(os.urandom(32).hex() + "\n" + key_file.read_text())
    store = await directory.open()
    second = a_job(2)
    assert await store.submit(second) == Accepted(second)
    assert [await store.load(job.id) is not None for job in (first, second)] == [True, True]
    answer = await store.submit(again(first, 3))
    assert not isinstance(answer, Accepted)
    assert answer.payload_mismatch is False


async def test_a_directory_is_opened_once_at_a_time(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_S", 0.0)
    await directory.open()
    with pytest.raises(RuntimeError, match=f"another process holds {directory.data_dir}.*--data-dir"):
        SqliteStore(directory.data_dir)


async def test_a_closed_directory_can_be_opened_again(
    directory: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_S", 0.0)
    await directory.open()
    await directory.close()
    await directory.open()
    assert (directory.data_dir / DATABASE).exists()
