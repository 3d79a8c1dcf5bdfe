"""A real service for a benchmark or a demo: started by the command that users run, and stopped with it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

EZTHROTTLE = (sys.executable, "-m", "orchestrator")
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Service:
    """A running ``ezthrottle serve``."""

    process: subprocess.Popen[bytes]
    base_url: str
    data_dir: Path
    api_key: str
    ready_after_s: float

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.base_url.rsplit(":", 1)[1])

    def pids(self) -> list[int]:
        """List the processes of its tree."""
        return descendants(self.process.pid)

    def cpu_by_process(self) -> dict[str, float]:
        """Sum the CPU time of its tree, in seconds, by process name and pid."""
        return {f"{process_name(pid)}/{pid}": cpu_seconds(pid) for pid in self.pids()}


def free_port() -> int:
    """Find a TCP port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def create_key(data_dir: Path, customer: str) -> str:
    """Make an API key as an operator would."""
    command = [*EZTHROTTLE, "keys", "create", "--customer", customer, "--data-dir", str(data_dir), "--json"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    key: str = made["api_key"]
    return key


@contextlib.contextmanager
def running_service(
    *options: str, data_dir: Path | None = None, customer: str = "cust_bench"
) -> Iterator[Service]:
    """Run a service on loopback until the block ends; stop it as Ctrl-C does."""
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ezthrottle-")))
        service = start_service(data_dir, *options, customer=customer)
        try:
            yield service
        finally:
            stop_service(service)


def start_service(data_dir: Path, *options: str, customer: str = "cust_bench") -> Service:
    """Start a service and wait until it is ready.

    Raises:
        RuntimeError: It ended, or was not ready in time.
    """
    api_key = create_key(data_dir, customer)
    base_url = f"http://127.0.0.1:{free_port()}"
    port = base_url.rsplit(":", 1)[1]
    command = [*EZTHROTTLE, "serve", "--data-dir", str(data_dir), "--port", port, *options]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    await_ready(process, base_url)
    return Service(process, base_url, data_dir, api_key, time.monotonic() - began)


def await_ready(process: subprocess.Popen[bytes], base_url: str) -> None:
    """Wait until every region is up.

    Raises:
        RuntimeError: The service ended, or was not ready in time.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"{base_url}/readyz", timeout=2)
            if answer.status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    process.kill()
    msg = f"the service was not ready (exit code {process.poll()})"
    raise RuntimeError(msg)


def stop_service(service: Service) -> int:
    """Stop a service as an operator would; give its exit code."""
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGTERM)
    return service.process.wait(STOPPED_WITHIN_S)


def descendants(pid: int) -> list[int]:
    """List a process and everything below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents.setdefault(_parent(entry), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_seconds(pid: int) -> float:
    """Read a process's CPU time, user and system; 0 where it is gone."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def process_name(pid: int) -> str:
    """Name a process as Ray titles it; else by its program."""
    with contextlib.suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return title.split()[0].rsplit("/", 1)[-1] if title.strip() else "?"
    return "?"


def _parent(entry: Path) -> int:
    return int(entry.joinpath("stat").read_text().rpartition(") ")[2].split()[1])
