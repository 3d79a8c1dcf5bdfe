"""Database files that are deleted or replaced under a running store are noticed."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.adapters.sqlite.disk_retry import Patience
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.ports.store import StoreFailure
from tests.conformance.stores import SqliteKeeper, an_ending
from tests.unit.domain.builders import a_job

SOON = Patience(lasts_s=0.05, pause_s=0.01, pause_most_s=0.01)


def delete(path: Path) -> None:
    path.unlink()


def replace_by_a_copy(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.replace(path)


def move_away(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


HAPPENED = pytest.mark.parametrize("happened", [delete, replace_by_a_copy, move_away])
FILES = pytest.mark.parametrize("file", [DATABASE, f"{DATABASE}-wal"])


@HAPPENED
@FILES
async def test_a_file_that_is_gone_is_named_and_submissions_are_refused(
    directory: SqliteKeeper, file: str, happened: Callable[[Path], None]
) -> None:
    store = await directory.open()
    await store.jobs.submit(a_job())
    assert store.lost is None
    happened(directory.data_dir / file)
    assert store.lost == str(directory.data_dir / file)
    for number in (2, 3):
        with pytest.raises(StoreFailure, match=f"{file} was deleted or replaced.*put it back"):
            await store.jobs.submit(a_job(number))


@HAPPENED
async def test_the_end_of_a_job_waits_for_people_and_does_not_end_the_shard(
    directory: SqliteKeeper, happened: Callable[[Path], None]
) -> None:
    await directory.open()
    await directory.close()
    store = SqliteStore(directory.data_dir, patience=SOON)
    job = a_job()
    await store.jobs.submit(job)
    happened(directory.data_dir / DATABASE)
    ending = asyncio.ensure_future(store.jobs.end(an_ending(job)))
    done, _ = await asyncio.wait([ending], timeout=20 * SOON.lasts_s)
    assert not done
    ending.cancel()
    await store.close()
