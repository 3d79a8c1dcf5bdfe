"""Ray clusters that were there before the service, and sites on loopback that it calls."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.loopback import Site, running_site
from bench.ports import free_port
from bench.service import descendants, process_name

ADDRESS = "127.0.0.2"
REGIONS = ["iad", "lax", "ord"]
PATIENCE_S = 60.0
STARTS_WITHIN_S = 150.0
"""Ray's own processes are eight, and machines are shared."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster of one node that was there before the service."""

    head: subprocess.Popen[bytes]
    environment: dict[str, str]

    def actors(self) -> list[str]:
        """Name the actors' processes: Ray titles them so, and adds a method while it runs."""
        names = (process_name(pid) for pid in descendants(self.head.pid))
        return sorted(name for name in names if name.endswith(("Actor", "ShardActor")))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster for all, with a token of its own; its node offers three regions, and to be the gateway's."""
    with running_cluster() as cluster:
        yield cluster


@contextmanager
def running_cluster(**more: str) -> Iterator[Cluster]:
    """Run a cluster of one node until the block ends; ``more`` is of its environment."""
    directory = Path(tempfile.mkdtemp(prefix="ezt-ray-"))
    token = directory / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    address = f"{ADDRESS}:{free_port()}"
    environment = {
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        # As docs/regions.md has it: beside two that compute, workers at nice 15 get next to nothing.
        "RAY_worker_niceness": "0",
        **more,
    }
    head = _start_head(directory, address, environment)
    try:
        wait_until(lambda: b"Ray runtime started" in (directory / "head.log").read_bytes(), STARTS_WITHIN_S)
        yield Cluster(head, environment)
    finally:
        end_node(head)
        shutil.rmtree(directory, ignore_errors=True)


def _start_head(directory: Path, address: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = (
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--node-ip-address={ADDRESS}", f"--port={address.partition(':')[2]}"),
        *("--num-cpus=1", "--object-store-memory=80000000", "--include-dashboard=false"),
        '--resources={"gateway": 1000, "region:iad": 1000, "region:lax": 1000, "region:ord": 1000}',
        f"--temp-dir={directory / 'ray'}",
    )
    with (directory / "head.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
            | {name: value for name, value in environment.items() if name != "RAY_ADDRESS"},
            start_new_session=True,
        )


def end_node(node: subprocess.Popen[bytes]) -> None:
    pids = descendants(node.pid)
    node.terminate()
    try:
        node.wait(PATIENCE_S)
    finally:
        for pid in pids:
            if process_name(pid) != "?":
                os.kill(pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.05)


@pytest.fixture
def target() -> Iterator[Site]:
    with running_site() as site:
        yield site
