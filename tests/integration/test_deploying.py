"""A service that is deployed to a running Ray cluster: made, looked at, brought to another version, and
ended.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.loopback import Reply, Site
from bench.ports import free_port
from tests.integration.conftest import REGIONS, Cluster, running_cluster, wait_until
from tests.support.long import LONG

pytestmark = [pytest.mark.service, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestrator", "regions")
FIRST, SECOND = "first", "second"
COMMAND_S = 150.0
PER_S = 50


@dataclass
class Machine:
    """A cluster of one machine, two versions of the package on it, and the operator's files."""

    directory: Path
    cluster: Cluster
    port: int = field(default_factory=free_port)
    api_key: str = ""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run our command, of the version that is installed now."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "orchestrator", *arguments],
            env=os.environ | self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            cwd=self.directory,
        )

    def install(self, version: str) -> None:
        """Put a version where every process that starts from now on finds it."""
        code = self.directory / "code"
        code.unlink(missing_ok=True)
        code.symlink_to(self.directory / version)

    def topology(self, *more: str, **regions: int) -> str:
        """Write a topology, and give its path."""
        path = self.directory / "topology.toml"
        data_dir = f"data_dir = '{self.directory / 'data'}'"
        serve = [data_dir, f"port = {self.port}", "allow_private_targets = true"]
        tables = [f"[regions.{name}]\nexecutors = {count}" for name, count in regions.items()]
        path.write_text("\n".join(["[serve]", *serve, *more, *tables]))
        return str(path)

    def deploy(self, *options: str, **regions: int) -> dict[str, Any]:
        """Deploy regions, and give what is said of them."""
        done = self.run("deploy", self.topology(**(regions or ALL)), "--wait", "120", "--json", *options)
        assert done.returncode == 0, done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def parts(self) -> list[str]:
        """Name what is deployed."""
        seen = self.run("status", "--json")
        return sorted(part["part"] for part in json.loads(seen.stdout)["parts"])

    def submit(self, url: str, regions: list[str] = REGIONS, key: str | None = None) -> httpx.Response:
        return httpx.post(
            f"{self.base_url}/api/v1/jobs",
            json={"url": url, "regions": regions} | ({"idempotent_key": key} if key else {}),
            headers=self.headers,
            timeout=5,
        )

    def states(self, jobs: list[str]) -> Counter[str]:
        paths = [f"{self.base_url}/api/v1/jobs/{job}" for job in jobs]
        with httpx.Client(headers=self.headers, timeout=10) as client:
            return Counter(client.get(path).json()["state"] for path in paths)


ALL = dict.fromkeys(REGIONS, 1)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    directory = Path(tempfile.mkdtemp(prefix="ezt-dep-"))
    for version in (FIRST, SECOND):
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, directory / version / package, ignore=shutil.ignore_patterns("__pycache__")
            )
    with (directory / SECOND / "regions" / "node.py").open("a") as code:
        code.write("\n# Another version of the code.\n")
    try:
        with running_cluster(PYTHONPATH=f"{directory / 'code'}:{ROOT / 'sdk'}") as cluster:
            machine = Machine(directory, cluster)
            machine.install(FIRST)
            data_dir = str(directory / "data")
            made = machine.run("keys", "create", "--customer", "cust_dep", "--data-dir", data_dir)
            machine.api_key = made.stdout.splitlines()[0].strip()
            yield machine
            machine.run("undeploy")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_what_a_topology_says_is_made_and_a_second_deploy_of_it_changes_nothing(
    machine: Machine, target: Site
) -> None:
    first = machine.deploy()
    assert {part["part"].rpartition(".")[0] for part in first["parts"]} == {
        *("shard-0", "webhooks", "executor-iad-1", "executor-lax-1", "executor-ord-1")
    }
    assert machine.submit(target.url("/raced")).status_code == httpx.codes.ACCEPTED
    target.wait(bool, "/raced")

    second = machine.deploy()

    assert [part["part"] for part in second["parts"]] == [part["part"] for part in first["parts"]]
    assert second["controller"] == first["controller"]


def test_a_wrong_topology_is_refused_with_every_field_before_anything_is_touched(machine: Machine) -> None:
    machine.deploy()
    before = machine.parts()
    wrong = machine.topology("prot = 1", iad=0)
    refused = machine.run("deploy", wrong)
    assert refused.returncode == 2
    assert "[serve] knows no prot: did you mean port?" in refused.stderr
    assert "[regions.iad] executors must be a whole number between 1 and 16" in refused.stderr
    assert machine.parts() == before


def test_serve_is_told_that_a_service_is_deployed_here(machine: Machine, tmp_path: Path) -> None:
    machine.deploy()
    refused = machine.run("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert (refused.returncode, "a service is deployed to this cluster" in refused.stderr) == (2, True)


@LONG
def test_a_region_that_nobody_offers_is_named_and_the_others_work(machine: Machine, target: Site) -> None:
    late = machine.run("deploy", machine.topology(iad=2, nrt=1), "--wait", "20")
    assert late.returncode == 1, late.stderr
    assert "no node of the cluster offers region:nrt" in late.stdout
    assert machine.submit(target.url("/elsewhere"), ["iad"]).status_code == httpx.codes.ACCEPTED
    target.wait(bool, "/elsewhere")


class Load:
    """Submits jobs at an even pace in a thread, and notes when each was acknowledged."""

    def __init__(self, machine: Machine, url: str) -> None:
        self._machine, self._url = machine, url
        self._stopping = threading.Event()
        self.acknowledged: list[tuple[float, str]] = []
        self.refused = 0
        self._threads = [threading.Thread(target=self._submit) for _ in range(5)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[str]:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return [job for _, job in self.acknowledged]

    def pause_most_s(self) -> float:
        """Say how long nobody was acknowledged anything at most."""
        return max(later - earlier for (earlier, _), (later, _) in pairwise(sorted(self.acknowledged)))

    def _submit(self) -> None:
        with httpx.Client(headers=self._machine.headers, timeout=5) as client:
            while not self._stopping.wait(len(self._threads) / PER_S):
                try:
                    answer = client.post(
                        f"{self._machine.base_url}/api/v1/jobs",
                        json={"url": self._url, "regions": REGIONS[:1]},
                    )
                    self.acknowledged.append((time.monotonic(), answer.raise_for_status().json()["job_id"]))
                except httpx.HTTPError:
                    self.refused += 1


def test_another_version_takes_over_region_by_region_and_no_job_is_lost_or_sent_twice(
    machine: Machine, target: Site
) -> None:
    before = machine.deploy()
    target.on("/load", Reply(after_s=0.1, headers={"X-EZTHROTTLE-RPS": "1000"}))
    load = Load(machine, target.url("/load"))
    try:
        wait_until(lambda: len(load.acknowledged) > PER_S)
        machine.install(SECOND)
        after = machine.deploy()
    finally:
        jobs = load.stop()
    assert {part["part"] for part in before["parts"]}.isdisjoint(part["part"] for part in after["parts"])
    assert {part["version"] for part in after["parts"]} == {after["build"]} != {before["build"]}
    wait_until(lambda: machine.states(jobs) == {"success": len(jobs)})
    asked = Counter(seen.headers["x-ezthrottle-job-id"] for seen in target.seen("/load"))
    assert set(asked.values()) == {1}
    # What was seen is in docs/regions.md: machines are shared.
    assert load.pause_most_s() < 15, load.refused
    print(f"{len(jobs)} jobs, {load.refused} refused, {load.pause_most_s():.2f} s")  # noqa: T201  # pytest -s


@LONG
def test_what_was_undeployed_left_its_jobs_on_disk_for_the_next(machine: Machine, target: Site) -> None:
    machine.deploy()
    target.on("/held", Reply(after_s=600), Reply())
    job = machine.submit(target.url("/held"), REGIONS[:1]).json()["job_id"]
    target.wait(bool, "/held")

    assert "shard-0" in machine.run("undeploy", "--drain-timeout", "1").stdout
    assert machine.run("undeploy").stdout == "nothing was deployed\n"
    assert machine.run("status").returncode == 1

    machine.deploy()
    wait_until(lambda: machine.states([job]) == {"success": 1})
