"""A disk that takes nothing more: what can't be stored is not acknowledged, and what was stays."""

import pytest

from orchestrator.adapters.store.sqlite import SqliteStore
from orchestrator.ports.store import StoreFailure
from tests.unit.domain.builders import a_job


async def test_a_job_that_does_not_fit_is_refused_and_the_others_stay(on_disk: SqliteStore) -> None:
    await on_disk.submit(a_job(1))
    pages = on_disk._write_connection.execute("PRAGMA page_count").fetchone()[0]
    on_disk._write_connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreFailure, match="full"):
        await on_disk.submit(a_job(2, body="x" * 100_000))

    assert [waiting.id for waiting in await on_disk.waiting()] == [a_job(1).id]
