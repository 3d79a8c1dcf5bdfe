from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.adapters.sqlite.store import SqliteStore
from orchestrator.ports.store import Store
from tests.conformance.stores import Keeper, MemoryKeeper, SqliteKeeper


@pytest.fixture(params=["memory", "sqlite"])
async def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keeper]:
    kept: Keeper = MemoryKeeper() if request.param == "memory" else SqliteKeeper(tmp_path / "data")
    yield kept
    await kept.close()


@pytest.fixture
async def store(keeper: Keeper) -> Store:
    return await keeper.open()


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[SqliteKeeper]:
    """For what only the store on disk can show."""
    kept = SqliteKeeper(tmp_path / "data")
    yield kept
    await kept.close()


@pytest.fixture
async def on_disk(directory: SqliteKeeper) -> SqliteStore:
    return await directory.open()
