"""A Ray cluster on a testbed, and a service in it."""

import secrets
import shutil

from bench.testbed.bed import Testbed
from bench.testbed.machine import CHECKOUT, Machine, Process
from bench.testbed.service import REGIONS, Service, until

GCS_PORT = 6379
REDIS_PORT = 6380
REDIS_MISSING = None if shutil.which("redis-server") else "a store behind the head needs redis-server"
"""Why there can't be one; None where there can."""
_STARTED = "Ray runtime started"
_TOKEN = "ray.token"
NODE_SETTINGS = dict(
    line.split("=", 1)
    for line in (CHECKOUT / "deploy" / "ray" / "ray-node.env").read_text().splitlines()
    if line and not line.startswith("#")
)
"""What docs/regions.md asks of every node."""


class Cluster:
    """Ray on some machines of a testbed, each kept running by a unit of its own.

    Args:
        bed: The machines.
        head: Whose machine runs the GCS.
        store: Whose machine runs a Redis that keeps what the GCS knows. Without one it forgets all.
    """

    def __init__(self, bed: Testbed, head: str = "hub", store: str | None = None) -> None:
        self.bed = bed
        self.head = bed[head]
        self._head_env = {} if store is None else self._start_redis(bed[store])
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
        return {**NODE_SETTINGS, "RAY_AUTH_TOKEN_PATH": f"/srv/{_TOKEN}"}

    def start_head(self, *, wait: bool = True) -> Process:
        """Start the head, which offers no region, and wait for it."""
        options = ("--head", f"--port={GCS_PORT}", "--include-dashboard=false")
        return self._start(self.head, options, self._head_env, wait=wait)

    def _start_redis(self, machine: Machine) -> dict[str, str]:
        address = f"{machine.address}:{REDIS_PORT}"
        where = ("--bind", machine.address, "--port", str(REDIS_PORT), "--dir", "/srv")
        redis = machine.start("redis-server", *where, "--save", "", "--protected-mode", "no")
        until(lambda: "Ready to accept connections" in redis.output(), what="Redis")
        return {"RAY_REDIS_ADDRESS": address}

    def start_node(self, name: str, *, wait: bool = True) -> Process:
        """Start a node that offers the region of its own name, and wait for it."""
        options = (f"--address={self.address}", f'--resources={{"region:{name}": 1000}}')
        return self._start(self.bed[name], options, {}, wait=wait)

    def start_plain_node(self, name: str, *, wait: bool = True) -> Process:
        """Start a node that offers no region."""
        return self._start(self.bed[name], (f"--address={self.address}",), {}, wait=wait)

    def start(self, *nodes: str) -> None:
        """Start the head and some nodes."""
        self.start_head()
        for name in nodes:
            self.start_node(name)

    def starts(self, *machines: str) -> list[int]:
        """Count how often Ray has come up on machines, of the unit that keeps it running there now."""
        return [self.units[name].output().count(_STARTED) for name in machines]

    def stop_node(self, name: str) -> None:
        """End Ray on a machine, and what would start it again."""
        self.units.pop(name).kill()

    def _start(
        self, machine: Machine, options: tuple[str, ...], env: dict[str, str], *, wait: bool = True
    ) -> Process:
        unit = machine.start(
            *("python", "-m", "bench.testbed.unit", "-" if machine is self.head else self.address),
            *("ray", "start", "--block", f"--node-ip-address={machine.address}", "--num-cpus=1"),
            *("--object-store-memory=80000000", "--disable-usage-stats", *options),
            env=self.environment | env,
        )
        self.units[machine.name] = unit
        if wait:
            until(lambda: _STARTED in unit.output(), what=f"Ray on {machine.name}")
        return unit


def service_in_cluster(cluster: Cluster, machine: str = "hub", regions: tuple[str, ...] = REGIONS) -> Service:
    """Make a service on a machine of a cluster."""
    env = {**cluster.environment, "RAY_ADDRESS": cluster.address}
    return Service(cluster.bed, machine, ("--regions", ",".join(regions)), env)
