"""The directory over which the console is measured: what is in it is what its lists then find."""

from pathlib import Path
from typing import Any

import pytest

from bench.console import filling
from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.ports.store import JobFilter

NOW_MS = 2**42
"""Later than anything in it."""


async def test_copies_are_listed_and_counted_as_what_they_are_copies_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "ORIGINALS", 200)
    await filling.fill(tmp_path, jobs=600, domains=20)
    store = SqliteStore(tmp_path)

    async def count(**wanted: Any) -> int:
        fitting = JobFilter(customer=None, **wanted)
        return (await store.history.count_jobs(fitting, now_ms=NOW_MS, most=1_000)).jobs

    try:
        assert await count() == 620
        assert await count(states=frozenset({JobState.QUEUED})) == 20
        assert await count(states=frozenset({JobState.FAILED})) == 3 * (200 // filling.FAILED - 1)
        assert await count(states=frozenset({JobState.CANCELLED})) == 3
        assert await count(deliveries=frozenset({JobDelivery.FAILED})) == 3
        assert await count(deliveries=frozenset({JobDelivery.PENDING})) == 3
        assert await count(deliveries=frozenset({JobDelivery.DELIVERED})) == 3 * (20 - 2)
        assert len(await store.jobs.waiting()) == len(await store.jobs.overrulings()) == 20
    finally:
        await store.close()
