"""The one table of settings. Each has a sane default; the command line and the environment change it."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Self

from orchestrator.domain.fanout import JITTER, OFFSETS_S

REGION_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
MORE_THAN_ZERO = (
    "max_body_bytes",
    "max_response_bytes",
    "default_rps",
    "default_max_concurrent",
    "keep_days",
    "strict_down_s",
    "history_days",
    "max_open_jobs",
    "max_streams",
    "webhook_max_concurrent",
    "redelivery_rps",
)
PORT_MOST = 65535
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/@]+)):(?P<port>[0-9]{1,5})")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared, not listened on
CARRIED_IN = "EZTHROTTLE_SETTINGS"
"""The environment variable that carries a parent's settings to the processes that it starts."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens: a host name or IP address, and a TCP port."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read ``host:port`` or ``[IPv6]:port``; None where it is neither."""
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"]) <= PORT_MOST:
            return None
        return cls(found["ipv6"] or found["host"], int(found["port"]))

    def __str__(self) -> str:
        """Write it as it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def clashes(self, other: "Address") -> bool:
        """Whether both can't be listened on at once."""
        everywhere = {self.host, other.host} & _EVERYWHERE
        return self.port == other.port and (self.host == other.host or bool(everywhere))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set.

    Args:
        host: Where the API listens.
        port: The same; TCP.
        metrics_bind: ``host:port`` where ``/metrics`` is served, and there alone; empty for the API's.
        data_dir: Where everything that has to survive lies.
        regions: Names of the regions; the first is the default one.
        allow_private_targets: Lift the guard on private, loopback and link-local addresses.
        allow_targets: Networks (CIDR, comma-separated) on which the guard is lifted.
        drain_timeout_s: How long a stop waits for attempts under way.
        max_body_bytes: Largest submission.
        max_response_bytes: Where a target's answer is cut.
        default_rps: Requests per second to a domain that says nothing about its pace.
        default_max_concurrent: Requests in flight to such a domain.
        domains_file: Paces of known domains, in TOML; None for those that are shipped.
        keep_days: How long requests and answers are kept after a job's end.
        strict_down_s: How long a region is down before a leg that may run nowhere else fails.
        history_days: How long a job's state and times are kept after its end.
        max_open_jobs: Jobs of one customer that may be waiting or under way at once.
        max_streams: Event streams of one customer that may be open at once.
        webhook_offsets_s: When a webhook is tried, in seconds after its first attempt; the first is 0.
        webhook_jitter: Share of the time between two attempts by which the later may be late.
        webhook_max_concurrent: Webhooks in flight to one receiver.
        redelivery_rps: Failed webhooks of one customer that are begun again in a second.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    metrics_bind: str = ""
    data_dir: Path = Path("./data")
    regions: tuple[str, ...] = ("iad", "lax", "ord")
    allow_private_targets: bool = False
    allow_targets: str = ""
    drain_timeout_s: float = 10.0
    max_body_bytes: int = 1024 * 1024
    max_response_bytes: int = 5 * 1024 * 1024
    default_rps: float = 2.0
    default_max_concurrent: int = 2
    domains_file: Path | None = None
    keep_days: float = 7.0
    strict_down_s: float = 30.0
    history_days: float = 30.0
    max_open_jobs: int = 1_000_000
    max_streams: int = 100
    webhook_offsets_s: tuple[float, ...] = OFFSETS_S
    webhook_jitter: float = JITTER
    webhook_max_concurrent: int = 32
    redelivery_rps: float = 20.0

    def problems(self) -> list[str]:
        """Say what is wrong with the settings, naming the option and the remedy."""
        found = []
        if not self.regions or len(set(self.regions)) < len(self.regions):
            found.append("--regions must name at least one region, each once")
        found += [
            f"--regions: {name!r} must be lower case letters, digits and '-', and begin with a letter"
            for name in self.regions
            if not REGION_NAME.match(name)
        ]
        if not 0 <= self.port <= PORT_MOST:
            found.append(f"--port must lie between 0 and {PORT_MOST}")
        found += self._metrics_problems()
        found += [
            f"--{name.removesuffix('_s').replace('_', '-')} must be more than 0"
            for name in MORE_THAN_ZERO
            if not 0 < getattr(self, name) < math.inf
        ]
        if not _is_schedule(self.webhook_offsets_s):
            found.append("--webhook-offsets must be growing numbers of seconds, the first of them 0")
        if not 0 <= self.webhook_jitter <= 1:
            found.append("--webhook-jitter must lie between 0 and 1")
        if not 0 <= self.drain_timeout_s < math.inf:
            found.append("--drain-timeout must be a number of seconds, 0 or more")
        return found

    @property
    def metrics_address(self) -> Address | None:
        """Where the metrics are bound apart; None where they are not."""
        return Address.read(self.metrics_bind) if self.metrics_bind else None

    def _metrics_problems(self) -> list[str]:
        if not self.metrics_bind:
            return []
        address = self.metrics_address
        if address is None:
            return ["--metrics-bind must be HOST:PORT, such as 127.0.0.1:9090 or [::1]:9090"]
        if address.clashes(Address(self.host, self.port)):
            return ["--metrics-bind must name another port than --port, or be left out"]
        return []

    def carry(self) -> dict[str, str]:
        """Write the settings into environment variables for a child process."""
        values = asdict(self) | {"data_dir": str(self.data_dir.resolve())}
        if self.domains_file is not None:
            values["domains_file"] = str(self.domains_file.resolve())
        return {CARRIED_IN: json.dumps(values)}

    @classmethod
    def carried(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read what ``carry`` wrote.

        Raises:
            KeyError: The environment carries no settings.
        """
        values = json.loads(env[CARRIED_IN])
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        for name in ("regions", "webhook_offsets_s"):
            values[name] = tuple(values[name])
        if values.get("domains_file") is not None:
            values["domains_file"] = Path(values["domains_file"])
        return cls(**values | {"data_dir": Path(values["data_dir"])})


def _is_schedule(offsets_s: tuple[float, ...]) -> bool:
    grows = all(early < later < math.inf for early, later in pairwise(offsets_s))
    return offsets_s[:1] == (0,) and grows
