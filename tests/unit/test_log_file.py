"""The service's log: bounded, shared between processes, and silent about what strangers send."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from orchestrator.adapters.process.log_follower import LogFollower
from orchestrator.runtime.log_file import KEPT, LOG_FILE, SharedLogHandler

LINE = "x" * 99


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "service.log"


@pytest.fixture
def writers(log_file: Path) -> Iterator[list[logging.Logger]]:
    """Two writers of one file, as two processes are."""
    found = []
    for name in ("first", "second"):
        logger = logging.getLogger(f"tests.log_file.{name}")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(SharedLogHandler(log_file, bytes_most=1_000))
        found.append(logger)
    yield found
    for logger in found:
        logger.handlers.pop().close()


def test_a_full_file_is_turned_over_and_the_oldest_forgotten(
    log_file: Path, writers: list[logging.Logger]
) -> None:
    for _ in range(200):
        for logger in writers:
            logger.info(LINE)
    sizes = {path.name: path.stat().st_size for path in log_file.parent.iterdir()}
    assert sorted(sizes) == ["service.log", *(f"service.log.{number}" for number in range(1, KEPT + 1))]
    assert max(sizes.values()) <= 1_100


def test_every_writer_follows_to_the_new_file(log_file: Path, writers: list[logging.Logger]) -> None:
    first, second = writers
    for _ in range(10):
        first.info(LINE)
    second.info("the second writes on")
    assert log_file.read_text() == "the second writes on\n"


def test_the_log_is_its_owners_alone(log_file: Path, writers: list[logging.Logger]) -> None:
    writers[0].info(LINE)
    assert log_file.stat().st_mode & 0o777 == 0o600


def test_libraries_that_tell_of_each_request_are_silent(log_file: Path) -> None:
    program = f"""
import asyncio, logging, pathlib, httpx
from orchestrator.runtime.log_file import log_to

async def answer(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b""}})

async def main():
    log_to(pathlib.Path({str(log_file)!r}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(answer)) as client:
        await client.get("http://service/api/v1/jobs?cursor=canary-in-the-query")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("orchestrator").info("the shard begins")

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    said = log_file.read_text()
    assert "the shard begins" in said
    assert "canary" not in said
    assert "Invalid HTTP request" not in said


@pytest.mark.parametrize("named", [True, False])
def test_a_process_logs_where_its_own_machine_says_or_to_standard_error(log_file: Path, named: bool) -> None:
    script = (
        "import logging; from orchestrator.runtime.log_file import log_here; log_here(); logging.info('hm')"
    )
    environment = {name: value for name, value in os.environ.items() if name != LOG_FILE}
    if named:
        environment[LOG_FILE] = str(log_file)

    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)

    said = log_file.read_text() if named else done.stderr.decode()
    assert said.endswith(" INFO root: hm\n")
    assert log_file.exists() is named


@pytest.fixture
def following(log_file: Path) -> Iterator[Callable[[], str]]:
    """A copy of the log, given once all of it is there."""
    log_file.write_text("from before\n")
    copy = BytesIO()
    follower = LogFollower(log_file, copy)
    follower.start()

    def copied() -> str:
        follower.stop()
        return copy.getvalue().decode()

    yield copied
    follower.stop()


def test_what_is_logged_from_now_on_is_copied(
    log_file: Path, following: Callable[[], str], writers: list[logging.Logger]
) -> None:
    writers[0].info("one")
    writers[1].info("two")
    assert following() == "one\ntwo\n"


def test_a_copy_goes_on_where_the_file_is_turned_over(
    log_file: Path, following: Callable[[], str], writers: list[logging.Logger]
) -> None:
    lines = [f"{number:04d} {'x' * 94}" for number in range(15)]
    for line in lines:
        writers[0].info(line)
    assert following().splitlines()[-15:] == lines


def test_a_copy_that_nobody_takes_costs_nothing_else(log_file: Path, writers: list[logging.Logger]) -> None:
    closed = BytesIO()
    closed.close()
    follower = LogFollower(log_file, closed)
    follower.start()
    writers[0].info(LINE)
    follower.stop()
    assert log_file.read_text() == f"{LINE}\n"
