"""A service on a testbed, what asks it, and a target outside."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from bench.testbed.bed import Testbed
from bench.testbed.machine import Machine, Process
from bench.testbed.target import Event, read_events

API_PORT = 8080
TARGET_PORT = 9000
REGIONS = ("iad", "lax", "ord")
EZTHROTTLE = ("python", "-m", "orchestrator")
PATIENCE_S = 90.0


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


class Service:
    """``ezthrottle serve`` on a machine.

    Args:
        bed: The machines.
        machine: Where it runs.
        options: Of its command line, besides where it listens and keeps its jobs.
        env: Of its environment.
        data_dir: Where it keeps its jobs, on that machine.
    """

    def __init__(
        self,
        bed: Testbed,
        machine: str,
        options: Sequence[str],
        env: Mapping[str, str],
        data_dir: str = "/srv/ez",
    ) -> None:
        self.machine = bed[machine]
        self._bed = bed
        self._options = options
        self._env = env
        self._data_dir = data_dir
        self.api_key = self.make_key("--customer", "cust_wan")
        self.base_url = f"http://{self.machine.address}:{API_PORT}"
        self.process: Process | None = None

    def start(self, *, port: int = API_PORT, env: Mapping[str, str] = {}) -> Process:
        """Start it; it may never be ready."""
        self.process = self.machine.start(
            *EZTHROTTLE,
            *("serve", "--host", "0.0.0.0", "--port", str(port), "--data-dir", self._data_dir),
            *("--allow-private-targets", *self._options),
            env={**self._env, **env},
        )
        return self.process

    def beside(self) -> "Service":
        """Make another one on the same machine, with a data directory of its own."""
        return Service(self._bed, self.machine.name, self._options, self._env, "/srv/ez2")

    def make_key(self, *options: str) -> str:
        """Make a key, of a customer or a region."""
        made = self.machine.run(*EZTHROTTLE, "keys", "create", *options, "--data-dir", self._data_dir)
        return made.splitlines()[0].strip()

    def get(self, path: str) -> httpx.Response:
        """Ask the API, from the machine outside.

        Raises:
            httpx.TransportError: It does not answer.

        """
        with self._bed["net"].network():
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

    def answers(self) -> bool:
        """Whether the API answers."""
        try:
            return self.get("/healthz").is_success
        except httpx.TransportError:
            return False

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
