"""A service that joins a running Ray cluster instead of starting its own, and leaves it as it was."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bench.loopback import Reply, Site, running_site
from bench.service import (
    STOPPED_WITHIN_S,
    Service,
    children,
    clean_up,
    descendants,
    free_port,
    process_name,
    resume_service,
    start_service,
)

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]

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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with a token of its own, whose node offers three regions, and to be the gateway's."""
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
def service(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Service]]:
    """Serve in the cluster; called again, serve the same data directory again."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    started: list[Service] = []

    def start() -> Service:
        last = started[-1] if started else None
        started.append(resume_service(last) if last else start_service(tmp_path, "--allow-private-targets"))
        return started[-1]

    yield start
    for service in started:
        clean_up(service.process, tmp_path)
    wait_until(lambda: not cluster.actors())


@pytest.fixture
def target() -> Iterator[Site]:
    with running_site() as site:
        yield site


def submit(service: Service, target: Site, path: str, regions: Sequence[str] = tuple(REGIONS)) -> str:
    job = {"url": target.url(path), "regions": regions, "webhooks": [{"url": target.url(f"/hook{path}")}]}
    answer = httpx.post(f"{service.base_url}/api/v1/jobs", json=job, headers=service.headers())
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def test_a_service_in_a_cluster_works_and_leaves_the_cluster_as_it_was(
    cluster: Cluster, service: Callable[[], Service], target: Site
) -> None:
    running = service()
    submit(running, target, "/warm")
    target.wait(bool, "/hook/warm")
    target.script(
        "/race", lambda seen: Reply(after_s=0 if seen.headers["x-ezthrottle-region"] == "ord" else 30)
    )

    job_id = submit(running, target, "/race")
    [webhook] = target.wait(bool, "/hook/race")

    assert (webhook.json()["job_id"], webhook.json()["region"]) == (job_id, "ord")
    wait_until(
        lambda: cluster.actors() == [*["ray::ExecutorActor"] * 3, "ray::ShardActor", "ray::WebhookActor"]
    )
    assert "raylet" not in map(process_name, running.pids())

    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(STOPPED_WITHIN_S) == 0
    wait_until(lambda: not cluster.actors())
    assert cluster.head.poll() is None
    assert "raylet" in map(process_name, children(cluster.head.pid))


def test_a_service_in_a_cluster_goes_on_where_one_that_was_killed_left_off(
    service: Callable[[], Service], target: Site
) -> None:
    killed = service()
    target.on("/held", Reply(after_s=600), Reply())
    # In one region: another leg of a race would be answered at once.
    job_id = submit(killed, target, "/held", REGIONS[:1])
    target.wait(bool, "/held")

    killed.process.kill()
    killed.process.wait()
    service()

    # At least once: one of them may have been the killed one's last act.
    webhooks = target.wait(bool, "/hook/held", PATIENCE_S)
    assert {(sent.json()["job_id"], sent.json()["status"]) for sent in webhooks} == {(job_id, "success")}
    assert len({sent.headers["webhook-id"] for sent in webhooks}) == 1
