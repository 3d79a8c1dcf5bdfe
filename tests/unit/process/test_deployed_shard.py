"""A deployed shard makes room for its next life, wherever it is in its own; Ray is stood in for."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from bench.ports import free_port
from orchestrator.adapters.process.directories import held_data_dir
from orchestrator.adapters.ray import node
from orchestrator.adapters.ray.deployed_shard import DeployedShardActor
from orchestrator.adapters.ray.node import ShardHost
from orchestrator.domain.cluster.deployment import PartState
from orchestrator.ports.lifecycle import Stage
from orchestrator.runtime import log_file
from orchestrator.settings import Settings
from regions import ray_host


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[ShardHost]:
    """All that hold for a whole process are left alone; what is made is kept."""
    monkeypatch.setattr(
        ray, "get_runtime_context", lambda: SimpleNamespace(was_current_actor_reconstructed=False)
    )
    monkeypatch.setattr(ray.actor, "exit_actor", lambda: None)
    monkeypatch.setattr(ray_host, "check_build", lambda _: None)
    monkeypatch.setattr(ray_host, "where_here", dict)
    monkeypatch.setattr(log_file, "let_inherit", lambda *_: None)
    for name in ("log_to", "tune_interpreter", "give_memory_back"):
        monkeypatch.setattr(node, name, lambda *_: None)
    made: list[ShardHost] = []
    init = ShardHost.__init__

    def kept(host: ShardHost, *parts: Any, **named: Any) -> None:
        init(host, *parts, **named)
        made.append(host)

    monkeypatch.setattr(ShardHost, "__init__", kept)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", port=free_port(), regions=("iad",))


@pytest.fixture
async def actor(hosts: list[ShardHost], settings: Settings) -> AsyncIterator[DeployedShardActor]:
    name = f"ezt-{secrets.token_hex(4)}"
    actor = DeployedShardActor.__new__(DeployedShardActor)
    await actor.__init__(settings.carry(), f"{name}/shard.sock", [], "build")  # type: ignore[misc]  # as Ray does
    yield actor
    shutil.rmtree(Path("/tmp", name), ignore_errors=True)


async def test_a_shard_that_makes_room_while_it_starts_leaves_nothing_of_it_behind(
    actor: DeployedShardActor, hosts: list[ShardHost], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = asyncio.Event()

    async def listen(_: ShardHost) -> None:
        starting.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(ShardHost, "_listen", listen)
    await asyncio.wait_for(starting.wait(), 20)
    assert (await actor.attend({}))[0] is not PartState.SERVES

    await asyncio.wait_for(actor.hand_over(60.0), 20)

    assert [host.stage for host in hosts] == [Stage.STOPPED]
    with held_data_dir(settings.data_dir):
        pass


@pytest.fixture
def earlier(settings: Settings) -> Iterator[None]:
    """Another life has the data directory."""
    settings.data_dir.mkdir(mode=0o700)
    with held_data_dir(settings.data_dir):
        yield


async def until(actor: DeployedShardActor, state: PartState) -> None:
    async with asyncio.timeout(20):
        while (await actor.attend({}))[0] is not state:  # noqa: ASYNC110  # it is asked, and tells nobody
            await asyncio.sleep(0.01)


async def test_a_shard_that_makes_room_before_it_has_its_data_directory_has_begun_nothing(
    earlier: None, actor: DeployedShardActor, hosts: list[ShardHost]
) -> None:
    await until(actor, PartState.READY)

    await asyncio.wait_for(actor.hand_over(60.0), 20)

    assert hosts == []


async def test_a_shard_that_serves_makes_room_once_nothing_of_it_runs(
    actor: DeployedShardActor, hosts: list[ShardHost]
) -> None:
    await until(actor, PartState.SERVES)

    await asyncio.wait_for(actor.hand_over(60.0), 20)

    assert [host.stage for host in hosts] == [Stage.STOPPED]
