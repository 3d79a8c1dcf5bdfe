"""The one table of settings. Each has a sane default; options, the environment and one file change it."""

import importlib.util
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeVar

from orchestrator.domain.exchange import RESPONSE_BYTES_MOST
from orchestrator.domain.health.routing import STRICT_DOWN_S
from orchestrator.domain.ids import is_region_name
from orchestrator.domain.jobs.retention import DAY_MS, Retention
from orchestrator.domain.jobs.submission_bounds import (
    CHAIN_DEPTH_READ,
    ITEMS_READ,
    JOBS_READ,
    JSON_DEPTH_READ,
    MANY_JOBS_RPS,
    URL_BYTES_READ,
    SubmissionBounds,
)
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.webhooks.fanout import DeliveryOptions, Schedule
from orchestrator.runtime.log_format import LogFormat

PORT_MOST = 65535
OTLP, OTLP_SPOKEN = "otlp", "http/protobuf"
_OTLP_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_T = TypeVar("_T")
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/@]+)):(?P<port>[0-9]{1,5})")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared, not listened on
_PATHS = ("data_dir", "domains_file", "tls_cert", "tls_key")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEFAULT_FILE = Path("ezthrottle.toml")
"""What is read of the directory that the service is started in, where no other file is named."""
FILE_TABLE = "serve"
"""The table of an operator's file that holds settings."""
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


def option_of(name: str) -> str:
    """Name the command line's option for a setting."""
    return "--" + name.removesuffix("_s").replace("_", "-")


def variable_of(name: str) -> str:
    """Name the environment variable for a setting."""
    return "EZTHROTTLE_" + name.removesuffix("_s").upper()


def key_of(name: str) -> str:
    """Name the key of the file for a setting."""
    return name.removesuffix("_s")


def unknown_keys(given: Mapping[str, object], known: Iterable[str], table: str) -> list[str]:
    """Say of each key that a table may not hold what was meant, or what it may hold."""
    names, found = list(known), []
    for key in sorted(given.keys() - set(names)):
        near = get_close_matches(key, names, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"it may hold {', '.join(names)}"
        found.append(f"[{table}] knows no {key}: {remedy}")
    return found


def _setting(default: _T, says: str, *, above_zero: bool = False, at_most: float = math.inf) -> _T:
    made: _T = field(default=default, metadata={"says": says, "above_zero": above_zero, "at_most": at_most})
    return made


def _bound(default: _T, says: str, at_most: float = math.inf) -> _T:
    """Make a setting that bounds what a submission may ask for."""
    return _setting(default, says, above_zero=True, at_most=at_most)


# The rules know their own defaults: this table only shows them.
_BOUNDS, _DELIVERY, _KEPT, _PACE = SubmissionBounds(), DeliveryOptions(), Retention(), Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set. Each is an option of ``ezthrottle serve``, an environment variable and a
    key in its file; times are seconds unless the name says otherwise.
    """

    host: str = _setting("127.0.0.1", "Where the API listens.")
    port: int = _setting(8080, "Its TCP port; 0 lets the system choose one.")
    metrics_bind: str = _setting(
        "", "HOST:PORT where /metrics is served, and there alone; the API's if left out."
    )
    agents_bind: str = _setting(
        "", "HOST:PORT where region agents join; none do if left out. --regions may then be empty."
    )
    tls_cert: Path | None = _setting(  # noqa: RUF009  # None can't be changed
        None, "The certificate that agents see, with what signed it, in PEM."
    )
    tls_key: Path | None = _setting(  # noqa: RUF009  # the same
        None, "Its key, in PEM."
    )
    nodes_port: int = _setting(
        0, "TCP port where executors on a Ray cluster's other machines connect; 0 lets the system choose one."
    )
    data_dir: Path = _setting(  # noqa: RUF009  # a path can't be changed, nor can None
        Path("./data"), "Where everything that has to survive lies."
    )
    regions: tuple[str, ...] = _setting(("iad", "lax", "ord"), "Names with commas; the first is the default.")
    allow_private_targets: bool = _setting(
        default=False, says="Let jobs call private and loopback addresses: for development."
    )
    allow_targets: str = _setting("", "Let jobs call exactly these networks: CIDR,CIDR,…")
    drain_timeout_s: float = _setting(10.0, "Seconds that a stop waits for attempts under way.")
    max_body_bytes: int = _bound(_BOUNDS.body_bytes, "Largest submission, in bytes.")
    max_batch_bytes: int = _bound(_BOUNDS.batch_bytes, "Largest batch, in bytes.")
    max_batch_jobs: int = _bound(_BOUNDS.batch_jobs, "Jobs in a batch.")
    max_json_depth: int = _bound(
        _BOUNDS.json_depth, "Levels of a submission's JSON, each job of a chain for itself.", JSON_DEPTH_READ
    )
    max_chain_depth: int = _bound(
        _BOUNDS.chain_depth, "Jobs of a submission nested in each other.", CHAIN_DEPTH_READ
    )
    max_chain_jobs: int = _bound(
        _BOUNDS.jobs, "Jobs of a submission, fallbacks and children included.", JOBS_READ
    )
    max_webhooks: int = _bound(_BOUNDS.webhooks, "Webhooks of a submission.", ITEMS_READ)
    max_regions: int = _bound(_BOUNDS.regions, "Regions of a job.", ITEMS_READ)
    max_headers: int = _bound(_BOUNDS.headers, "Headers of a job.", ITEMS_READ)
    max_header_bytes: int = _bound(_BOUNDS.header_bytes, "Their size in all, in bytes.")
    max_url_bytes: int = _bound(
        _BOUNDS.url_bytes, "Length of a job's URL, and of each webhook's, in bytes.", URL_BYTES_READ
    )
    max_metadata_bytes: int = _bound(_BOUNDS.metadata_bytes, "Size of a job's metadata, in bytes.")
    max_repeats: int = _bound(_BOUNDS.repeats, "Retries that a job may ask for, and reroutes.")
    max_retry_at_days: float = _bound(
        _BOUNDS.retry_at_ahead_ms / DAY_MS, "How far ahead a job's retry_at may lie, in days."
    )
    max_response_bytes: int = _setting(
        RESPONSE_BYTES_MOST, "Bytes after which a target's answer is cut, and marked.", above_zero=True
    )
    default_rps: float = _setting(
        _PACE.rps, "Requests per second to a domain that says nothing about its pace.", above_zero=True
    )
    default_max_concurrent: int = _setting(
        _PACE.max_concurrent, "Requests in flight to such a domain.", above_zero=True
    )
    domains_file: Path | None = _setting(  # noqa: RUF009  # the same
        None, "Paces of domains that you know, in TOML."
    )
    keep_days: float = _setting(
        _KEPT.payload_ms / DAY_MS,
        "Days that requests and answers are kept after a job's end.",
        above_zero=True,
    )
    history_days: float = _setting(
        _KEPT.summary_ms / DAY_MS, "Days that a job's state and times are kept.", above_zero=True
    )
    strict_down_s: float = _setting(
        STRICT_DOWN_S,
        "Seconds that a region is down before a leg that may run nowhere else fails.",
        above_zero=True,
    )
    max_open_jobs: int = _setting(
        _BOUNDS.open_jobs, "Jobs of one customer, waiting or under way; over it 429.", above_zero=True
    )
    max_streams: int = _setting(
        _BOUNDS.streams, "Event streams of one customer, open at once; over it 429.", above_zero=True
    )
    webhook_offsets_s: tuple[float, ...] = _setting(
        _DELIVERY.schedule.offsets_s,
        "When a webhook is tried: seconds after its first attempt, growing from 0.",
    )
    webhook_jitter: float = _setting(
        _DELIVERY.schedule.jitter, "Share of the time between two attempts by which the later may be late."
    )
    webhook_max_concurrent: int = _setting(
        _DELIVERY.max_concurrent, "Webhooks in flight to one receiver.", above_zero=True
    )
    redelivery_rps: float = _setting(
        _DELIVERY.redelivery_rps,
        "Failed webhooks of one customer that are begun again in a second.",
        above_zero=True,
    )
    tracing: str = _setting(
        "", "otlp: send spans of jobs where the OTEL_* variables say; none are made if left out."
    )
    log_format: str = _setting(LogFormat.CONSOLE.value, "How lines of the log are written: console or json.")
    log_stdout: bool = _setting(default=False, says="Copy the log to standard output as it is written.")
    many_jobs_rps: float = _setting(
        MANY_JOBS_RPS,
        "Jobs of one customer that are cancelled or replayed in a second, where many are at once.",
        above_zero=True,
    )

    def problems(self) -> list[str]:
        """Say what is wrong with the settings, naming the option and the remedy."""
        found = []
        if not (self.regions or self.agents_bind) or len(set(self.regions)) < len(self.regions):
            found.append("--regions must name at least one region, each once")
        found += [
            f"--regions: {name!r} must be lower case letters, digits and '-', and begin with a letter"
            for name in self.regions
            if not is_region_name(name)
        ]
        found += [
            f"--{name} must lie between 0 and {PORT_MOST}"
            for name, port in (("port", self.port), ("nodes-port", self.nodes_port))
            if not 0 <= port <= PORT_MOST
        ]
        found += self._metrics_problems()
        found += self._agents_problems()
        found += self._range_problems()
        found += _tracing_problems(self.tracing)
        if self.log_format not in [*LogFormat]:
            found.append(f"--log-format must be {' or '.join(LogFormat)}")
        if not _is_schedule(self.webhook_offsets_s):
            found.append("--webhook-offsets must be growing numbers of seconds, the first of them 0")
        if not 0 <= self.webhook_jitter <= 1:
            found.append("--webhook-jitter must lie between 0 and 1")
        if not 0 <= self.drain_timeout_s < math.inf:
            found.append("--drain-timeout must be a number of seconds, 0 or more")
        return found

    def _range_problems(self) -> list[str]:
        found = []
        for setting in fields(self):
            value, at_most = getattr(self, setting.name), setting.metadata["at_most"]
            if setting.metadata["above_zero"] and not 0 < value < math.inf:
                found.append(f"{option_of(setting.name)} must be more than 0")
            elif at_most < math.inf and value > at_most:
                found.append(f"{option_of(setting.name)} must be at most {at_most}")
        return found

    @property
    def bounds(self) -> SubmissionBounds:
        """What a submission may ask for."""
        return SubmissionBounds(
            body_bytes=self.max_body_bytes,
            batch_bytes=self.max_batch_bytes,
            batch_jobs=self.max_batch_jobs,
            json_depth=self.max_json_depth,
            chain_depth=self.max_chain_depth,
            jobs=self.max_chain_jobs,
            webhooks=self.max_webhooks,
            regions=self.max_regions,
            headers=self.max_headers,
            header_bytes=self.max_header_bytes,
            url_bytes=self.max_url_bytes,
            metadata_bytes=self.max_metadata_bytes,
            repeats=self.max_repeats,
            retry_at_ahead_ms=int(self.max_retry_at_days * DAY_MS),
            open_jobs=self.max_open_jobs,
            streams=self.max_streams,
        )

    @property
    def delivery(self) -> DeliveryOptions:
        """How webhooks are made."""
        return DeliveryOptions(
            schedule=Schedule(offsets_s=self.webhook_offsets_s, jitter=self.webhook_jitter),
            max_concurrent=self.webhook_max_concurrent,
            redelivery_rps=self.redelivery_rps,
        )

    @property
    def retention(self) -> Retention:
        """How long things are kept."""
        return Retention(payload_ms=int(self.keep_days * DAY_MS), summary_ms=int(self.history_days * DAY_MS))

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

    @property
    def agents_address(self) -> Address | None:
        """Where region agents join; None where none do."""
        return Address.read(self.agents_bind) if self.agents_bind else None

    def _agents_problems(self) -> list[str]:
        if (self.tls_cert is None) != (self.tls_key is None):
            return ["--tls-cert and --tls-key belong together"]
        if not self.agents_bind:
            return ["--tls-cert is for --agents-bind"] if self.tls_cert else []
        address = self.agents_address
        if address is None:
            return ["--agents-bind must be HOST:PORT, such as 0.0.0.0:8443"]
        others = [Address(self.host, self.port), *filter(None, [self.metrics_address])]
        if any(map(address.clashes, others)):
            return ["--agents-bind must name another port than --port and --metrics-bind"]
        if self.tls_cert is None and address.host not in LOOPBACK:
            return ["--agents-bind needs --tls-cert and --tls-key: only loopback goes without"]
        return []

    def carry(self) -> dict[str, str]:
        """Write the settings into environment variables for a child process."""
        values = asdict(self)
        for name in _PATHS:
            if values[name] is not None:
                values[name] = str(values[name].resolve())
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
        for name in _PATHS:
            if values.get(name) is not None:
                values[name] = Path(values[name])
        return cls(**values)


def _tracing_problems(wanted: str) -> list[str]:
    if wanted not in ("", OTLP):
        return [f"--tracing must be {OTLP}, or left out"]
    if wanted and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        return ["--tracing otlp needs the OpenTelemetry SDK: pip install 'ezthrottle-server[otel]'"]
    spoken = {os.environ.get(name, OTLP_SPOKEN) for name in _OTLP_PROTOCOLS} if wanted else set()
    return [
        f"OTEL_EXPORTER_OTLP_PROTOCOL: {name} is not spoken, only {OTLP_SPOKEN}"
        for name in spoken - {OTLP_SPOKEN}
    ]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _is_schedule(offsets_s: tuple[float, ...]) -> bool:
    grows = all(early < later < math.inf for early, later in pairwise(offsets_s))
    return offsets_s[:1] == (0,) and grows
