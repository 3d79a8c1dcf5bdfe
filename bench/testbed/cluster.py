"""A Ray cluster on a testbed, a service in it, and a target outside."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from bench.testbed.bed import Testbed
from bench.testbed.machine import Machine, Process
from bench.testbed.target import Event, read_events

GCS_PORT = 6379
API_PORT = 8080
TARGET_PORT = 9000
REGIONS = ("iad", "lax", "ord")
PATIENCE_S = 90.0
_TOKEN = "ray.token"
HEALTH = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",
}
"""What docs/regions.md asks of every node."""


def until(holds: Callable[[], bool], within_s: float = PATIENCE_S, what: str = "it") -> float:
    """Wait until something holds; say how many seconds that took.

    Raises:
        TimeoutError: It does not come to hold.

    """
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"{what} did not come to be within {within_s:g} s")
        time.sleep(0.02)
    return time.monotonic() - began


class Cluster:
    """Ray on some machines of a testbed, each kept running by a unit of its own.

    Args:
        bed: The machines.
        head: Whose machine runs the GCS.
    """

    def __init__(self, bed: Testbed, head: str = "hub") -> None:
        self.bed = bed
        self.head = bed[head]
        self.units: dict[str, Process] = {}
        token = secrets.token_hex(32)
        for machine in bed.machines.values():
            path = machine.srv / _TOKEN
            path.write_text(token)
            path.chmod(0o600)

    @property
    def address(self) -> str:
        """Where the GCS listens."""
        return f"{self.head.address}:{GCS_PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """What every process of Ray's needs."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"/srv/{_TOKEN}", **HEALTH}

    def start_head(self, **env: str) -> Process:
        """Start the head, which offers no region, and wait for it."""
        options = ("--head", f"--port={GCS_PORT}", "--include-dashboard=false")
        return self._start(self.head, options, env)

    def start_node(self, name: str, region: str | None = None) -> Process:
        """Start a node that offers a region (its own name, where none is given), and wait for it."""
        offered = f'{{"region:{region or name}": 1000}}'
        options = (f"--address={self.address}", f"--resources={offered}")
        return self._start(self.bed[name], options, {})

    def start_plain_node(self, name: str, *, wait: bool = True) -> Process:
        """Start a node that offers no region."""
        return self._start(self.bed[name], (f"--address={self.address}",), {}, wait=wait)

    def start(self, *nodes: str) -> None:
        """Start the head and some nodes."""
        self.start_head()
        for name in nodes:
            self.start_node(name)

    def stop_node(self, name: str) -> None:
        """End Ray on a machine, and what would start it again."""
        self.units.pop(name).kill()

    def _start(
        self, machine: Machine, options: tuple[str, ...], env: dict[str, str], *, wait: bool = True
    ) -> Process:
        unit = machine.start(
            *("python", "-m", "bench.testbed.unit"),
            *("ray", "start", "--block", f"--node-ip-address={machine.address}", "--num-cpus=1"),
            *("--object-store-memory=80000000", "--disable-usage-stats", *options),
            env=self.environment | env,
        )
        self.units[machine.name] = unit
        if wait:
            until(lambda: "Ray runtime started" in unit.output(), what=f"Ray on {machine.name}")
        return unit


class ServiceInCluster:
    """``ezthrottle serve`` on a machine of a cluster, and what asks it.

    Args:
        cluster: Which it joins.
        machine: Where it runs.
        regions: Which it serves.
        data_dir: Where it keeps its jobs, on that machine.
    """

    def __init__(
        self,
        cluster: Cluster,
        machine: str = "hub",
        regions: tuple[str, ...] = REGIONS,
        data_dir: str = "/srv/ez",
    ) -> None:
        self.machine = cluster.bed[machine]
        self._cluster = cluster
        self._regions = regions
        self._data_dir = data_dir
        options = ("--customer", "cust_wan", "--data-dir", data_dir)
        self.api_key = self.machine.run(*_EZTHROTTLE, "keys", "create", *options).splitlines()[0].strip()
        self.base_url = f"http://{self.machine.address}:{API_PORT}"
        self.process: Process | None = None

    def start(self, *, port: int = API_PORT, env: Mapping[str, str] = {}) -> Process:
        """Start it; it may never be ready."""
        self.process = self.machine.start(
            *_EZTHROTTLE,
            *("serve", "--host", "0.0.0.0", "--port", str(port), "--data-dir", self._data_dir),
            *("--allow-private-targets", "--regions", ",".join(self._regions)),
            env={**self._cluster.environment, "RAY_ADDRESS": self._cluster.address, **env},
        )
        return self.process

    def beside(self) -> "ServiceInCluster":
        """Make another one on the same machine, with a data directory of its own."""
        return ServiceInCluster(self._cluster, self.machine.name, self._regions, "/srv/ez2")

    def get(self, path: str) -> httpx.Response:
        """Ask the API, from a machine outside of the cluster.

        Raises:
            httpx.TransportError: It does not answer.

        """
        with self._cluster.bed["net"].network():
            return httpx.get(f"{self.base_url}{path}", headers=self.headers, timeout=5)

    @property
    def headers(self) -> dict[str, str]:
        """Those of an authorized request."""
        return {"Authorization": f"Bearer {self.api_key}"}

    def up(self) -> list[str]:
        """Name the regions that are up; none where the service does not answer."""
        try:
            answer = self.get("/readyz")
        except httpx.TransportError:
            return []
        return list(answer.json()["regions"]) if answer.is_success else []

    def regions(self) -> dict[str, dict[str, Any]]:
        """Ask what it says of each region."""
        return {region["region"]: region for region in self.get("/api/v1/regions").json()["regions"]}

    def log(self) -> str:
        """Give what the service has logged."""
        path = self.machine.disk / self._data_dir.lstrip("/") / "service.log"
        return path.read_text() if path.exists() else ""


class OutsideTarget:
    """A target on the machine that is the world outside."""

    def __init__(self, machine: Machine) -> None:
        self._log = machine.srv / "target.jsonl"
        self.url = f"http://{machine.address}:{TARGET_PORT}"
        process = machine.start("python", "-m", "bench.testbed.target", str(TARGET_PORT), "/srv/target.jsonl")
        until(lambda: "listening" in process.output(), what="the target")

    def events(self, what: str, since: float = 0.0) -> list[Event]:
        """Give the events of a kind since a moment (Unix s)."""
        return [event for event in read_events(self._log) if event.what == what and event.at >= since]


_EZTHROTTLE = ("python", "-m", "orchestrator")
