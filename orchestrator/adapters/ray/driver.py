"""Starts Ray and every actor, says when all are ready, and stops them in order.

It runs as the child of the process parent, which restarts it and ends what it leaves.
"""

import contextlib
import os
import secrets
import select
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.adapters.http.serving import listen
from orchestrator.adapters.process.directories import RAYS_PART, RUN_DIR
from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.ray.node import LOG_FILE, ShardActor, options_for_nodes
from orchestrator.adapters.ray.shard_watch import SHARD_DEATHS_MOST, ShardDeaths, ShardWatch
from orchestrator.domain.ids import RegionName
from orchestrator.runtime import log_file
from orchestrator.settings import Address, Settings
from orchestrator.wire import names
from regions.ray_actor import ExecutorActor, WebhookActor

LOOPBACK = "127.0.0.1"
"""With this address each part of Ray listens on loopback alone; it is kept as it is with LOOPBACK_ONLY."""
OBJECT_STORE_BYTES = 80 * 1024 * 1024
READY_WITHIN_S = 60.0
WATCH_EVERY_S = 0.5
ANSWERS_WITHIN_S = 2.0
PARTS_OF_RAY = ("raylet", "gcs_server")
"""Without the one no actor comes back, without the other none is found: and Ray waits for them in vain."""
RAY_CONFIG = {
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_initial_delay_ms": 1000,
    "health_check_failure_threshold": 3,
    # Ray would keep an account of every call, for a dashboard that does not run here: 5 % of all CPU.
    "task_events_report_interval_ms": 0,
    "enable_metrics_collection": False,
    "enable_timeline": False,
}


class ConfigurationError(Exception):
    """Something that a restart would not mend."""


def main() -> int:
    """Run until told to stop; give the exit code."""
    settings = Settings.carried()
    try:
        settings = _checked(settings)
        start_ray(settings)
        # Only now: while Ray starts, a SIGTERM just ends this process, and the parent ends the rest.
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        shard = start_actors(settings)
        return _serve(settings, shard, stopping)
    except ConfigurationError as error:
        print(f"ezthrottle: {error}", file=sys.stderr, flush=True)  # noqa: T201  # the parent shows it to people
        return ExitCode.CONFIG


def start_ray(settings: Settings) -> None:
    """Start a Ray of our own on loopback, or join the one that RAY_ADDRESS names."""
    common: dict[str, Any] = {
        "namespace": names.NAMESPACE,
        "log_to_driver": False,
        "logging_level": "warning",
    }
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**common)
        return
    # Whatever runs on this machine inherits it; elsewhere each node logs by itself.
    os.environ[log_file.LOG_FILE] = str(settings.data_dir / LOG_FILE)
    ray.init(
        address="local",
        num_cpus=1,
        resources={names.region_resource(region): 1000 for region in settings.regions},
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        _node_ip_address=LOOPBACK,
        _temp_dir=str(Path(os.environ[RUN_DIR], RAYS_PART)),
        _system_config=RAY_CONFIG,
        **common,
    )


def start_actors(settings: Settings) -> Any:
    """Start shard, executors and webhook actor; give the shard's handle."""
    # A name that no other service's socket has: on other machines the same directory may be another's.
    run_dir = Path(os.environ[RUN_DIR])
    socket = run_dir / f"shard-{secrets.token_hex(8)}.sock"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    common = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0, "get_if_exists": False}
    # Ray's type hints know neither concurrency groups nor this call's result.
    cluster: Any = ray
    remote = cluster.remote
    shard = (
        remote(concurrency_groups={names.CONTROL_GROUP: 100})(ShardActor)
        .options(name=names.SHARD, scheduling_strategy=here, max_concurrency=1000, **common)
        .remote(settings.carry(), str(socket))
    )
    options = options_for_nodes(settings, str(socket.relative_to(run_dir.parent)))
    offered = cluster.cluster_resources()
    peers = [
        remote(WebhookActor)
        .options(name=names.WEBHOOKS, scheduling_strategy=here, max_concurrency=1000, **common)
        .remote(str(names.WEBHOOK_NODE), options)
    ]
    for region in settings.regions:
        resource = names.region_resource(region)
        # A resource that no node offers would pend for ever: that region then runs on this machine.
        place = {"resources": {resource: 1}} if resource in offered else {"scheduling_strategy": here}
        actor = remote(ExecutorActor).options(
            name=names.executor_name(region), max_concurrency=1000, **common, **place
        )
        peers.append(actor.remote(str(names.executor_address(RegionName(region))), options))
    _PEERS.extend(peers)
    return shard


def _serve(settings: Settings, shard: Any, stopping: threading.Event) -> int:
    watch = ShardWatch(shard.ready.remote)
    if _await_ready(watch, stopping):
        print(_greeting(settings), flush=True)  # noqa: T201  # for people
        _keep_watch(watch, stopping)
    # Customers may have found it ready a moment before this process did: then there is work to finish.
    if watch.answers(ANSWERS_WITHIN_S):
        with contextlib.suppress(Exception):
            ray.get(shard.drain.remote(settings.drain_timeout_s), timeout=settings.drain_timeout_s + 3)
    return 0


def _keep_watch(watch: ShardWatch, stopping: threading.Event) -> None:
    parts, deaths = _open_parts_of_ray(), ShardDeaths(watch.lives)
    while not stopping.wait(WATCH_EVERY_S):
        # A pid would not tell: what died stays a zombie, for Ray does not reap it.
        for ended in select.select(parts, [], [], 0)[0]:
            _lose(f"the {parts[ended]} died")
        up = watch.look()
        if watch.died is not None:
            _lose(f"the shard can't be started again: {watch.died}")
        if deaths.counted(watch.lives, up=up):
            _give_up()


def _lose(reason: str) -> NoReturn:
    print(f"ezthrottle: {reason}", file=sys.stderr, flush=True)  # noqa: T201  # for people
    os._exit(ExitCode.LOST)


def _give_up() -> NoReturn:
    print(f"ezthrottle: {_DIES}", file=sys.stderr, flush=True)  # noqa: T201  # for people
    os._exit(ExitCode.SPENT)


def _greeting(settings: Settings) -> str:
    regions = ", ".join(settings.regions)
    metrics = settings.metrics_address
    apart = "" if metrics is None else f"; metrics at http://{metrics}/metrics"
    return f"ezthrottle is ready at http://{Address(settings.host, settings.port)} (regions {regions}){apart}"


def _await_ready(watch: ShardWatch, stopping: threading.Event) -> bool:
    deadline = time.monotonic() + READY_WITHIN_S
    while not stopping.is_set():
        if watch.look():
            return True
        if watch.died is not None and watch.mendable:
            _lose(watch.died)
        if watch.died is not None:
            raise ConfigurationError(watch.died)
        if time.monotonic() > deadline:
            _lose("no region came up in time")
        stopping.wait(0.05)
    return False


def _checked(settings: Settings) -> Settings:
    """Check the settings; choose a port where the system is to, so that a shard started again keeps it."""
    if problems := settings.problems():
        raise ConfigurationError("; ".join(problems))
    if settings.metrics_address is not None:
        _free_port(settings.metrics_address, "--metrics-bind")
    return replace(settings, port=_free_port(Address(settings.host, settings.port), "--port"))


def _free_port(address: Address, option: str) -> int:
    try:
        with listen(address) as listener:
            port: int = listener.getsockname()[1]
            return port
    except OSError as error:
        msg = f"can't listen on {address} ({error.strerror or error}): choose another {option}"
        raise ConfigurationError(msg) from None


def _open_parts_of_ray() -> dict[int, str]:
    """Open pidfds for the raylet and the GCS of our own; none where a cluster was joined."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            before, _, rest = process.joinpath("stat").read_text().partition(") ")
            name = before.partition("(")[2]
            if name in PARTS_OF_RAY and int(rest.split()[1]) == os.getpid():
                found[os.pidfd_open(int(process.name))] = name
    return found


_DIES = (
    f"the shard died {SHARD_DEATHS_MOST + 1} times within a minute of being up: "
    "service.log says of what; giving up"
)
_PEERS: list[Any] = []
"""Handles kept for as long as the driver lives: Ray ends an actor that nobody holds."""

if __name__ == "__main__":
    # Ray's own leave-taking takes seconds; the parent ends what is left at once.
    os._exit(main())
