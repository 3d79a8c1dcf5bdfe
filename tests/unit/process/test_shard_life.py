"""A life of a deployed shard waits for what it stands on, and says why."""

import asyncio
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_port
from orchestrator.adapters.process.directories import held_data_dir
from orchestrator.adapters.ray import life as life_module
from orchestrator.adapters.ray.life import ShardLife
from orchestrator.domain.cluster import failed_starts
from orchestrator.domain.cluster.deployment import PartState
from orchestrator.settings import Settings

Make = Callable[..., ShardLife]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make lives over one data directory."""
    name, lives, port = f"ezt-{secrets.token_hex(4)}", [], free_port()

    def make(*, again: bool = False, **settings: Any) -> ShardLife:
        made = Settings(**({"data_dir": tmp_path / "data", "port": port} | settings))
        lives.append(ShardLife(made, name, again=again))
        return lives[-1]

    yield make
    for life in lives:
        life.end()
    shutil.rmtree(Path("/tmp", name), ignore_errors=True)


async def until(life: ShardLife, state: PartState) -> str:
    """Wait until a life is so far; give its reason."""
    async with asyncio.timeout(20):
        while life.state is not state:  # noqa: ASYNC110  # a life is asked, and tells nobody
            await asyncio.sleep(0.01)
    return life.reason


async def test_the_second_life_is_ready_while_the_first_serves_and_begins_where_that_ends(make: Make) -> None:
    first, second = make(), make()
    run_dir = await first.begin()
    waiting = asyncio.ensure_future(second.begin())
    assert "holds the data directory" in await until(second, PartState.READY)
    assert not waiting.done()

    first.end()

    assert await asyncio.wait_for(waiting, 20) == run_dir


async def test_a_life_waits_for_serve_on_its_data_directory(make: Make, tmp_path: Path) -> None:
    with held_data_dir(tmp_path / "data"):
        life = make()
        waiting = asyncio.ensure_future(life.begin())
        await until(life, PartState.READY)
    await asyncio.wait_for(waiting, 20)


async def test_a_domains_file_that_is_wrong_is_told_before_anybody_makes_room(
    make: Make, tmp_path: Path
) -> None:
    serves = make()
    await serves.begin()
    life = make(domains_file=tmp_path / "nowhere.toml")
    waiting = asyncio.ensure_future(life.begin())
    assert "nowhere.toml" in await until(life, PartState.BLOCKED)
    waiting.cancel()


async def test_a_port_that_is_taken_is_named_and_waited_for(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        life = make(port=port)
        waiting = asyncio.ensure_future(life.begin())
        assert f"can't listen on 127.0.0.1:{port}" in await until(life, PartState.BLOCKED)
    await asyncio.wait_for(waiting, 20)


def die(life: ShardLife) -> None:
    """End a life as its process would."""
    life._held.close()


async def begun(life: ShardLife) -> None:
    await asyncio.wait_for(life.begin(), 20)


async def test_a_life_after_one_that_failed_waits_and_says_what_that_died_of(make: Make) -> None:
    first = make()
    await begun(first)
    first.fail(OSError("the disk is full"))
    die(first)
    second = make(again=True)
    waiting = asyncio.ensure_future(second.begin())
    reason = await until(second, PartState.BLOCKED)
    assert reason == "its start failed 1 times in a row, tried again in 1 s: OSError: the disk is full"
    await asyncio.wait_for(waiting, 20)


async def test_a_life_says_what_the_one_before_died_of_from_its_first_word_until_it_has_begun(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_starts, "PAUSE_FIRST_S", 0.001)
    first = make()
    await begun(first)
    first.fail(OSError("the disk is full"))
    second = make(again=True)
    assert (second.state, "the disk is full" in second.reason) == (PartState.BLOCKED, True)
    waiting = asyncio.ensure_future(second.begin())
    await until(second, PartState.READY)
    die(first)
    await asyncio.wait_for(waiting, 20)
    assert (second.state, "the disk is full" in second.reason) == (PartState.BLOCKED, True)


async def test_a_life_that_made_room_is_not_told_as_one_that_failed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_starts, "PAUSE_FIRST_S", 0.001)
    first = make()
    await begun(first)
    second = make(again=True)
    assert second.state is PartState.BLOCKED, "the first is not proven yet"
    waiting = asyncio.ensure_future(second.begin())
    await until(second, PartState.READY)
    first.end()
    await asyncio.wait_for(waiting, 20)
    assert second.state is PartState.READY


async def test_after_some_failures_in_a_row_a_life_says_that_it_failed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_starts, "PAUSE_FIRST_S", 0.001)
    for _ in range(failed_starts.FAILED_FROM):
        life = make(again=True)
        await begun(life)
        die(life)
    monkeypatch.setattr(failed_starts, "PAUSE_FIRST_S", 60.0)
    failed = make(again=True)
    waiting = asyncio.ensure_future(failed.begin())
    assert "its process ended without a word" in await until(failed, PartState.FAILED)
    waiting.cancel()


async def test_what_was_deployed_anew_waits_for_no_failure_of_another(make: Make) -> None:
    first = make()
    await begun(first)
    die(first)
    anew = make()
    await begun(anew)
    assert anew.state is not PartState.BLOCKED


async def test_a_life_that_was_proven_or_made_room_leaves_no_failure_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life_module, "PROVEN_AFTER_S", 0.01)
    proven = make()
    await begun(proven)
    await proven.prove()
    die(proven)
    second = make(again=True)
    await begun(second)
    second.end()
    third = make(again=True)
    await begun(third)
    assert {second.state, third.state}.isdisjoint({PartState.BLOCKED, PartState.FAILED})
