"""Starts Ray and every actor, says when all are ready, and stops them in order.

It runs as the child of the process parent, which restarts it and ends what it leaves.
"""

import contextlib
import os
import secrets
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.adapters.http.listening import listen
from orchestrator.adapters.process import directories
from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.process.log_follower import on_stdout
from orchestrator.adapters.ray import making
from orchestrator.adapters.ray.joining import (
    JoinError,
    join,
    say,
    when_name_is_free,
)
from orchestrator.adapters.ray.parts import open_parts
from orchestrator.adapters.ray.region_actors import RegionActor, RegionActors
from orchestrator.adapters.ray.shard_actor import LOG_FILE, ShardActor
from orchestrator.adapters.ray.shard_watch import SHARD_DEATHS_MOST, ShardDeaths, ShardWatch
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.messages import names
from orchestrator.runtime import log_file
from orchestrator.settings import Address, Settings

LOOPBACK = "127.0.0.1"
"""With this address each part of Ray listens on loopback alone; it is kept as it is with LOOPBACK_ONLY."""
OBJECT_STORE_BYTES = 80 * 1024 * 1024
READY_WITHIN_S = 60.0
SILENT_S = 60.0
"""A shard that is started again reads its jobs meanwhile, and answers nothing."""
WATCH_EVERY_S = 0.5
ANSWERS_WITHIN_S = 2.0
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
        start_ray(settings, os.environ.get("RAY_ADDRESS"))
        # Only now: while Ray starts, a SIGTERM just ends this process, and the parent ends the rest.
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        with on_stdout(settings.data_dir / LOG_FILE, wanted=settings.log_stdout):
            return _serve(settings, start_actors(settings), stopping)
    except (ConfigurationError, JoinError) as error:
        say(str(error))
        return ExitCode.CONFIG


def start_ray(settings: Settings, joined: str | None) -> None:
    """Start a Ray of our own on loopback, or join the one that RAY_ADDRESS names."""
    common: dict[str, Any] = {
        "namespace": names.NAMESPACE,
        "log_to_driver": False,
        "logging_level": "warning",
    }
    if joined:
        join(joined, common)
        return
    # Whatever runs on this machine inherits it; elsewhere each node logs by itself.
    log_file.let_inherit(settings.data_dir / LOG_FILE, settings.log_format)
    ray.init(
        address="local",
        # Nothing of ours asks for a CPU. Ray starts so many workers before they are asked for, as many at
        # once as there are cores, and each actor takes one of them.
        num_cpus=len(settings.regions) + 2,
        resources={names.region_resource(region): 1000 for region in settings.regions},
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        _node_ip_address=LOOPBACK,
        _temp_dir=str(Path(os.environ[directories.RUN_DIR], directories.RAYS_PART)),
        _system_config=RAY_CONFIG,
        **common,
    )


class Cast(NamedTuple):
    """The actors: the shard's handle, and what looks after the others."""

    shard: Any
    nodes: RegionActors


def start_actors(settings: Settings) -> Cast:
    """Start shard, executors and webhook actor.

    Raises:
        JoinError: Another service has its shard in this cluster.

    """
    # A name that no other service's socket has: on other machines the same directory may be another's.
    run_dir = Path(os.environ[directories.RUN_DIR])
    socket = run_dir / f"shard-{secrets.token_hex(8)}.sock"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    make_shard = making.remote_shard(ShardActor, name=names.SHARD, scheduling_strategy=here)
    shard = when_name_is_free(make_shard, settings.carry(), str(socket))
    options = making.options_for_nodes(settings, socket.relative_to(run_dir.parent))
    # Ray's type hints do not know this call's result.
    cluster: Any = ray

    def node(address: NodeAddress, resource: str | None) -> RegionActor:
        # A region runs where its resource is offered and nowhere else: until a node offers it, it is down.
        place = {"resources": {resource: 1}} if resource else {"scheduling_strategy": here}
        return RegionActor(making.node_maker(address, options, **place), resource, cluster.cluster_resources)

    nodes = {str(names.WEBHOOK_NODE): node(names.WEBHOOK_NODE, None)}
    for region in settings.regions:
        address = names.executor_address(RegionName(region))
        nodes[str(address)] = node(address, names.region_resource(region))
    return Cast(shard, RegionActors(nodes, shard.placed.remote))


def _serve(settings: Settings, cast: Cast, stopping: threading.Event) -> int:
    shard = cast.shard
    question = Question(shard.ready.remote)
    watch = ShardWatch(question.ask)
    cast.nodes.begin()
    parts = open_parts()
    if _await_ready(watch, question, cast.nodes, parts, stopping):
        Path(os.environ[directories.RUN_DIR], directories.SERVED_FILE).touch()
        print(_greeting(settings, cast.nodes), flush=True)  # noqa: T201  # for people
        _keep_watch(watch, question, parts, stopping)
    # Customers may have found it ready a moment before this process did: then there is work to finish.
    if watch.answers(ANSWERS_WITHIN_S):
        with contextlib.suppress(Exception):
            ray.get(shard.drain.remote(settings.drain_timeout_s), timeout=settings.drain_timeout_s + 3)
    return 0


class Question:
    """What the shard is asked, and for how long it has owed the answer."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._asked_at = time.monotonic()

    def ask(self) -> Any:
        """Ask it again."""
        self._asked_at = time.monotonic()
        return self._ask()

    @property
    def owed_s(self) -> float:
        """Seconds since it was asked last."""
        return time.monotonic() - self._asked_at


def _keep_watch(
    watch: ShardWatch, question: Question, parts: dict[int, str], stopping: threading.Event
) -> None:
    deaths = ShardDeaths(watch.first_life)
    while not stopping.wait(WATCH_EVERY_S):
        _look_at(parts)
        up = watch.look()
        if question.owed_s > SILENT_S:
            _lose(f"the shard, or the cluster, has been silent for {SILENT_S:g} s")
        if watch.died is not None:
            _lose(f"the shard can't be started again: {watch.died}")
        if deaths.counted(watch.lives, up=up):
            _give_up()


def _look_at(parts: dict[int, str]) -> None:
    # A pid would not tell: what died stays a zombie, for Ray does not reap it.
    for ended in select.select(parts, [], [], 0)[0]:
        _lose(f"the {parts[ended]} died")


def _lose(reason: str) -> NoReturn:
    say(reason)
    os._exit(ExitCode.LOST)


def _give_up() -> NoReturn:
    say(_DIES)
    os._exit(ExitCode.SPENT)


def _greeting(settings: Settings, nodes: RegionActors) -> str:
    troubles = nodes.troubles()
    regions = ", ".join(
        f"{region} DOWN: {troubles[node]}" if node in troubles else region
        for region in settings.regions
        for node in [str(names.executor_address(RegionName(region)))]
    )
    metrics = settings.metrics_address
    apart = "" if metrics is None else f"; metrics at http://{metrics}/metrics"
    if settings.agents_address is not None:
        scheme = "http" if settings.tls_cert is None else "https"
        apart += f"; region agents join at {scheme}://{settings.agents_address}"
    where = Address(settings.host, settings.port)
    data = settings.data_dir
    return (
        f"ezthrottle is ready at http://{where} (regions {regions or 'of agents'}){apart}\n"
        f"  console at http://{where}/console; who has no key to sign in with makes one: "
        f"ezthrottle keys create --role admin --data-dir {data}\n"
        f"  calls at http://{where}/docs; data in {data}; log in {data / LOG_FILE}"
    )


def _await_ready(
    watch: ShardWatch,
    question: Question,
    nodes: RegionActors,
    parts: dict[int, str],
    stopping: threading.Event,
) -> bool:
    deadline = time.monotonic() + READY_WITHIN_S
    while not stopping.is_set():
        _look_at(parts)
        if watch.look():
            return True
        if watch.died is not None and watch.mendable:
            _lose(watch.died)
        if watch.died is not None:
            raise ConfigurationError(watch.died)
        if time.monotonic() > deadline:
            # In a cluster nodes may be there later; the service takes jobs meanwhile.
            if not os.environ.get("RAY_ADDRESS") or question.owed_s > SILENT_S:
                _lose(f"no region came up in time{_listed(nodes)}")
            Path(os.environ[directories.RUN_DIR], directories.SERVED_FILE).touch()
            say(f"no region is up yet{_listed(nodes)}; jobs are taken and wait")
            deadline = time.monotonic() + READY_WITHIN_S
        stopping.wait(0.05)
    return False


def _listed(nodes: RegionActors) -> str:
    return "".join(f"; {node}: {reason}" for node, reason in nodes.troubles().items())


def _checked(settings: Settings) -> Settings:
    """Check the settings; choose a port where the system is to, so that a shard started again keeps it."""
    if problems := settings.problems():
        raise ConfigurationError("; ".join(problems))
    if settings.metrics_address is not None:
        _free_port(settings.metrics_address, "--metrics-bind")
    if settings.agents_address is not None:
        _free_port(settings.agents_address, "--agents-bind")
    return replace(settings, port=_free_port(Address(settings.host, settings.port), "--port"))


def _free_port(address: Address, option: str) -> int:
    try:
        with listen(address) as listener:
            port: int = listener.getsockname()[1]
            return port
    except OSError as error:
        msg = f"can't listen on {address} ({error.strerror or error}): choose another {option}"
        raise ConfigurationError(msg) from None


_DIES = (
    f"the shard died {SHARD_DEATHS_MOST + 1} times within a minute of being up: "
    "service.log says of what; giving up"
)

if __name__ == "__main__":
    # Ray's own leave-taking takes seconds; the parent ends what is left at once.
    os._exit(main())
