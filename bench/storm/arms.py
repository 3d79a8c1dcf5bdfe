"""The ways of getting the same jobs done that are compared."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.service import descendants, running_service
from bench.storm.celery_tasks import FOLDER, RATE
from bench.storm.orders import READY
from bench.storm.scenarios import Known, Scenario
from bench.storm.submitting_client import SECRET
from bench.strict_server import PATIENCE_S
from bench.submitter import sign_webhooks

CLIENTS = 4
WORKERS = 4
WORKER_THREADS = 16
AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Behind:
    """What runs behind the clients: its processes, and what their environment names of it."""

    pids: Callable[[], Sequence[int]]
    environment: Mapping[str, str] = field(default_factory=dict)


BehindClients = Callable[[Scenario, str], AbstractContextManager[Behind]]
"""Runs it for a scenario and a target's domain, until the block ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A way: so many processes of a client, by module and arguments, and what is behind them. ``serves``:
    that is no part of the clients. ``knows_ends``: a client knows when its jobs have ended.
    """

    name: str
    client: tuple[str, ...]
    clients: int = CLIENTS
    behind: BehindClients
    serves: bool = False
    knows_ends: bool = True


@contextlib.contextmanager
def _nothing(_scenario: Scenario, _domain: str) -> Iterator[Behind]:
    yield Behind(list)


@contextlib.contextmanager
def _service(scenario: Scenario, domain: str) -> Iterator[Behind]:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as table:
        if scenario.known is Known.GUESSED:
            # What is stated needs no setting.
            setting = f"rps = {scenario.setting}\nmax_concurrent = {AT_ONCE}\n"
            table.write(f'[domains."{domain}"]\n{setting}')
            table.flush()
        with running_service("--allow-private-targets", "--domains-file", table.name) as service:
            sign_webhooks(service, SECRET)
            known = {"EZTHROTTLE_API_KEY": service.api_key, "EZTHROTTLE_URL": service.base_url}
            yield Behind(service.pids, known)


@contextlib.contextmanager
def _celery_workers(scenario: Scenario, _domain: str) -> Iterator[Behind]:
    with tempfile.TemporaryDirectory(prefix="storm-") as folder, contextlib.ExitStack() as workers:
        for name in ("messages", "control"):
            Path(folder, name).mkdir()
        settings = {FOLDER: folder, RATE: f"{scenario.setting / WORKERS}/s"}
        running = [workers.enter_context(_worker(number, settings)) for number in range(WORKERS)]
        for worker in running:
            _await_ready(worker)
        yield Behind(lambda: [pid for worker in running for pid in descendants(worker.pid)], settings)


@contextlib.contextmanager
def _worker(number: int, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # It warns of running as root, which is how a container runs a benchmark.
    command = (sys.executable, "-W", "ignore", "-m", "celery", "--app", "bench.storm.celery_tasks", "worker")
    size = ("--pool", "threads", "--concurrency", str(WORKER_THREADS), "--hostname", f"worker{number}@storm")
    # What workers tell each other is of no use here, and would cost the folder that is their broker.
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "critical")
    worker = subprocess.Popen(
        (*command, *size, *quiet), stdout=subprocess.PIPE, env={**os.environ, **settings}
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def _await_ready(worker: subprocess.Popen[bytes]) -> None:
    given_up = threading.Timer(PATIENCE_S, worker.kill)
    given_up.start()
    ready = any(line == READY for line in worker.stdout or ())
    given_up.cancel()
    if not ready:
        raise RuntimeError(f"a Celery worker was not ready (exit code {worker.wait(PATIENCE_S)})")


EZTHROTTLE = "EZThrottle"
ARMS = {
    arm.name: arm
    for arm in (
        Arm(name=EZTHROTTLE, client=("bench.storm.submitting_client",), behind=_service, serves=True),
        Arm(name="tenacity", client=("bench.storm.retrying_client",), behind=_nothing),
        Arm(
            name="tenacity + Retry-After",
            client=("bench.storm.retrying_client", "Retry-After"),
            behind=_nothing,
        ),
        Arm(
            name="Celery rate_limit",
            client=("bench.storm.publishing_client",),
            clients=1,
            behind=_celery_workers,
            knows_ends=False,
        ),
    )
}
