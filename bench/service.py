"""A real service for a benchmark or a demo: started by the command that users run, and stopped with it."""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.ports import free_port
from orchestrator.adapters.process.directories import run_dir_path
from orchestrator.adapters.process.tree import tree_id

EZTHROTTLE = (sys.executable, "-m", "orchestrator")
DEFAULT_REGIONS = "iad,lax,ord"
READY_WITHIN_S = 120.0
"""On a quiet machine it takes five to ten."""
STOPPED_WITHIN_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For who asks loopback again and again: each time the certificates would be read, which is 40 ms of CPU."""


@dataclass(slots=True)
class Service:
    """A running ``ezthrottle serve``."""

    process: subprocess.Popen[bytes]
    base_url: str
    data_dir: Path
    api_key: str
    ready_after_s: float
    options: tuple[str, ...] = ()
    checkout: Path | None = None

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.base_url.rsplit(":", 1)[1])

    def pids(self) -> list[int]:
        """List the processes of its tree."""
        return descendants(self.process.pid)

    def headers(self) -> dict[str, str]:
        """Give the headers of an authorized request."""
        return {"Authorization": f"Bearer {self.api_key}"}

    def cpu_by_process(self) -> dict[str, float]:
        """Sum the CPU time of its tree, in seconds, by process name and pid."""
        return {f"{process_name(pid)}/{pid}": cpu_seconds(pid) for pid in self.pids()}


def command_of(checkout: Path | None) -> tuple[str, ...]:
    """Name the command of a checkout in which `make install` has run; this one's where none is named."""
    return EZTHROTTLE if checkout is None else (str(checkout.resolve() / ".venv/bin/ezthrottle"),)


def create_key(data_dir: Path, customer: str, checkout: Path | None = None, *options: str) -> str:
    """Make an API key as an operator would."""
    given = ("--customer", customer, "--data-dir", str(data_dir), "--json", *options)
    command = (*command_of(checkout), "keys", "create", *given)
    created = subprocess.run(command, check=True, capture_output=True, cwd=checkout)
    made = json.loads(created.stdout)
    key: str = made["api_key"]
    return key


@contextlib.contextmanager
def running_service(
    *options: str,
    data_dir: Path | None = None,
    customer: str = "cust_bench",
    checkout: Path | None = None,
) -> Iterator[Service]:
    """Run a service on loopback until the block ends; stop it as Ctrl-C does."""
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ezthrottle-")))
        service = start_service(data_dir, *options, customer=customer, checkout=checkout)
        try:
            yield service
        finally:
            stop_service(service)


def start_service(
    data_dir: Path,
    *options: str,
    customer: str = "cust_bench",
    api_key: str | None = None,
    port: int | None = None,
    checkout: Path | None = None,
) -> Service:
    """Start a service and wait until it is ready; make a key and find a port where none is given.

    Raises:
        RuntimeError: It ended, or was not ready in time.
    """
    api_key = api_key or create_key(data_dir, customer, checkout)
    port = port or free_port()
    base_url = f"http://127.0.0.1:{port}"
    command = (*command_of(checkout), "serve", "--data-dir", str(data_dir), "--port", str(port), *options)
    began = time.monotonic()
    # What it starts itself finds its own modules first: those of the directory that it runs in.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, cwd=checkout)
    try:
        await_ready(process, base_url, _region_count(options))
    except BaseException:
        clean_up(process, data_dir)
        raise
    return Service(process, base_url, data_dir, api_key, time.monotonic() - began, options, checkout)


def resume_service(service: Service) -> Service:
    """Serve the same data directory again, with the same options, port and key."""
    return start_service(
        service.data_dir,
        *service.options,
        api_key=service.api_key,
        port=service.port,
        checkout=service.checkout,
    )


def await_ready(process: subprocess.Popen[bytes], base_url: str, regions: int = 1) -> None:
    """Wait until so many regions are up.

    Raises:
        RuntimeError: The service ended, or was not ready in time.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"{base_url}/readyz", timeout=2, verify=NO_TLS)
            if answer.status_code == httpx.codes.OK and len(answer.json()["regions"]) >= regions:
                return
        time.sleep(0.05)
    process.kill()
    msg = f"the service was not ready (exit code {process.poll()})"
    raise RuntimeError(msg)


def _region_count(options: tuple[str, ...]) -> int:
    names = options[options.index("--regions") + 1] if "--regions" in options else DEFAULT_REGIONS
    return len(names.split(","))


def stop_service(service: Service) -> int:
    """Stop a service as an operator would; give its exit code. Nothing of it is left then."""
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
    try:
        return service.process.wait(STOPPED_WITHIN_S)
    finally:
        clean_up(service.process, service.data_dir)


def kill_service(service: Service) -> None:
    """Kill every process of a service at once, as a power cut does; return when all are gone."""
    kill_processes(service.process, service.data_dir)


def clean_up(process: subprocess.Popen[bytes], data_dir: Path) -> None:
    """End whatever is left of a service that is not to be started again, and delete its temporary files."""
    kill_processes(process, data_dir)
    shutil.rmtree(run_dir_path(tree_id(data_dir), os.environ.get("TMPDIR")), ignore_errors=True)


def kill_processes(process: subprocess.Popen[bytes], data_dir: Path) -> None:
    """Kill a ``serve`` and whatever else serves its data directory, orphans too."""
    pids = [*(descendants(process.pid) if process.poll() is None else ()), *processes_of(data_dir)]
    while pids:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        time.sleep(0.01)
        pids = processes_of(data_dir)
    process.wait()


def processes_of(data_dir: Path) -> list[int]:
    """List the processes below a ``serve``, orphans too: the settings in their environment name it."""
    mark = json.dumps(str(data_dir.resolve())).encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in entry.joinpath("environ").read_bytes():
                found.append(int(entry.name))
    return found


def descendants(pid: int) -> list[int]:
    """List a process and everything below it."""
    below = _children_by_parent()
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += below.get(found[-1], [])
    return found


def children(pid: int) -> list[int]:
    """List the children of a process."""
    return _children_by_parent().get(pid, [])


def _children_by_parent() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.setdefault(_parent(entry), []).append(int(entry.name))
    return found


def cpu_seconds(pid: int) -> float:
    """Read a process's CPU time, user and system; 0 where it is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


class Bystanders:
    """Watches how many cores everybody else on the machine uses, from its making on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy_s = self._others_busy_s()

    def cores(self) -> float:
        """Give the cores that others used on average. What of ours has ended meanwhile counts as theirs."""
        return (self._others_busy_s() - self._busy_s) / (time.monotonic() - self._began)

    def _others_busy_s(self) -> float:
        user, nice, system, _idle, _iowait, *interrupts = (
            int(ticks) / TICKS for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
        ours = sum(cpu_seconds(pid) for pid in descendants(os.getpid()))
        return user + nice + system + sum(interrupts) - ours


def process_name(pid: int) -> str:
    """Name a process as Ray titles it, without the method that a busy actor is at; else by its program."""
    with contextlib.suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return title.split()[0].rsplit("/", 1)[-1].partition(".")[0] if title.strip() else "?"
    return "?"


def _parent(entry: Path) -> int:
    return int(entry.joinpath("stat").read_text().rpartition(") ")[2].split()[1])
