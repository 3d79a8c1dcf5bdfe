"""Two machines, as far as files go: what is the service's own is not to be found where another node runs.

The second node is a raylet in a mount namespace in which an empty file system lies over the service's data
directory and over its temporary directory, the batch socket with it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bench.loopback import Site
from bench.service import Service, clean_up, descendants, process_name, start_service
from tests.integration.conftest import Cluster, end_node, wait_until
from tests.support.long import LONG

HERE, ELSEWHERE = "ord", "nrt"
SECOND_ADDRESS = "127.0.0.3"
_HIDE = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
_HIDDEN = 'mount -t tmpfs none "$0" && exec "$@"'


def can_hide_files() -> bool:
    """Whether this process may make a mount namespace with a file system of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as directory:
        tried = subprocess.run((*_HIDE, _HIDDEN, directory, "true"), check=False, capture_output=True)
        return tried.returncode == 0


pytestmark = [
    pytest.mark.service,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not can_hide_files(), reason="only root can hide files from a node"),
]


@pytest.fixture
def own() -> Iterator[Path]:
    """What only the service's machine has. Ray's part in it ends at 42 bytes, so its name is short."""
    with tempfile.TemporaryDirectory(prefix="ezt-", dir="/tmp") as directory:
        path = Path(directory, "own")
        path.mkdir()
        yield path


@contextmanager
def second_node(cluster: Cluster, own: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = (
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
        *(f"--address={cluster.environment['RAY_ADDRESS']}", f"--node-ip-address={SECOND_ADDRESS}"),
        *("--num-cpus=1", "--object-store-memory=80000000"),
        f'--resources={{"region:{ELSEWHERE}": 1000}}',
    )
    ray = {name: value for name, value in cluster.environment.items() if name != "RAY_ADDRESS"}
    log = own.parent / "node.log"
    with log.open("wb") as out:
        node = subprocess.Popen(
            (*_HIDE, _HIDDEN, str(own), *command),
            stdout=out,
            stderr=out,
            env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | ray,
            start_new_session=True,
        )
    try:
        wait_until(lambda: b"Ray runtime started" in log.read_bytes())
        yield node
    finally:
        end_node(node)


@contextmanager
def serving(cluster: Cluster, own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name, value in (*cluster.environment.items(), ("TMPDIR", str(own))):
        monkeypatch.setenv(name, value)
    service = start_service(own / "data", "--allow-private-targets", "--regions", f"{HERE},{ELSEWHERE}")
    try:
        yield service
    finally:
        clean_up(service.process, own / "data")


@LONG
def test_a_region_works_on_a_node_that_has_none_of_the_services_files(
    cluster: Cluster, own: Path, target: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with second_node(cluster, own) as node, serving(cluster, own, monkeypatch) as service:
        job = {
            "url": target.url("/there"),
            "regions": [ELSEWHERE],
            "region_policy": "strict",
            "webhooks": [{"url": target.url("/told"), "regions": [ELSEWHERE]}],
        }
        answer = httpx.post(f"{service.base_url}/api/v1/jobs", json=job, headers=service.headers())
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

        [webhook] = target.wait(bool, "/told", 60)

        assert (webhook.json()["status"], webhook.json()["region"]) == ("success", ELSEWHERE)
        [executor] = [pid for pid in descendants(node.pid) if "ExecutorActor" in process_name(pid)]
        assert not list(Path(f"/proc/{executor}/root{own}").iterdir())
        assert (own / "data" / "ezthrottle.db").exists()
