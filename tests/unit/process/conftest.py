"""A real parent over fake drivers: small scripts that announce themselves through a named pipe."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

import orchestrator
from orchestrator.adapters.process.directories import run_dir_path
from orchestrator.adapters.process.tree import ProcessTree, tree_id

PATIENCE_S = 20.0
ENDED = -1

FAKES = """
import json, os, signal, sys, time
from pathlib import Path
HERE = Path(__file__).parent

def announce(name, **detail):
    line = json.dumps({"name": name, "pid": os.getpid(), "detail": detail}) + "\\n"
    pipe = os.open(HERE / "reports", os.O_WRONLY)
    os.write(pipe, line.encode())
    os.close(pipe)

def rest():
    while True:
        signal.pause()

def child(name):
    "Fork a child; return when it has announced itself."
    announced, announcing = os.pipe()
    if not os.fork():
        announce(name)
        os.close(announcing)
        rest()
    os.close(announcing)
    os.read(announced, 1)
    os.close(announced)

def daemon(name):
    "The same with one that leaves its session and its parent, as daemons do."
    middle = os.fork()
    if not middle:
        os.setsid()
        child(name)
        os._exit(0)
    os.waitpid(middle, 0)

def on_sigterm(action):
    signal.signal(signal.SIGTERM, action)
"""

SERVE = """
import os, sys
from pathlib import Path
from orchestrator.adapters.process import parent
here = Path(__file__).parent
drain_timeout_s, parent.DRAIN_GRACE_S = float(sys.argv[1]), 0.2
command = [sys.executable, str(here / "driver.py")]
sys.exit(parent.run(command, data_dir=here / "data", drain_timeout_s=drain_timeout_s, env=os.environ))
"""


@dataclass(frozen=True, slots=True)
class Announced:
    """A process that told its name; ``pidfd`` goes on meaning this one after its end."""

    name: str
    pid: int
    pidfd: int
    detail: dict[str, Any]

    def is_alive(self) -> bool:
        """Whether it runs: a zombie does not."""
        return self.pidfd != ENDED and not select.select([self.pidfd], [], [], 0)[0]

    def is_reaped(self) -> bool:
        """Whether not even a zombie is left."""
        if self.pidfd == ENDED:
            return True
        try:
            signal.pidfd_send_signal(self.pidfd, 0)
        except ProcessLookupError:
            return True
        return False


class Workbench:
    """Starts parents and fake processes in a directory of their own, and ends them all at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        (directory / "fakes.py").write_text(FAKES)
        (directory / "serve.py").write_text(SERVE)
        os.mkfifo(directory / "reports")
        self._reports = os.open(directory / "reports", os.O_RDWR | os.O_NONBLOCK)
        self._unread = b""
        self._heard: list[Announced] = []
        self._pidfds: list[int] = []
        self._started: list[subprocess.Popen[str]] = []

    @property
    def run_dir(self) -> Path:
        return run_dir_path(tree_id(self.data_dir), None)

    @property
    def tree(self) -> ProcessTree:
        return ProcessTree(tree_id(self.data_dir))

    def script(self, name: str, source: str) -> Path:
        path = self.directory / name
        path.write_text("from fakes import *\n" + source)
        return path

    def start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**_clean_environment(), **(env or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def serve(self, driver: str, drain_timeout_s: float = 60.0, **env: str) -> subprocess.Popen[str]:
        self.script("driver.py", driver)
        return self.start(self.directory / "serve.py", str(drain_timeout_s), env=env)

    def hear(self, name: str) -> Announced:
        """Wait for the next process that announces itself as ``name``; others are kept for later."""
        while True:
            for announced in self._heard:
                if announced.name == name:
                    self._heard.remove(announced)
                    return announced
            self._listen()

    def hear_all(self, *names: str) -> list[Announced]:
        return [self.hear(name) for name in names]

    def heard(self, name: str) -> bool:
        """Whether ``name`` has announced itself, without waiting."""
        while select.select([self._reports], [], [], 0)[0]:
            self._listen()
        return any(announced.name == name for announced in self._heard)

    def next_line(self, process: subprocess.Popen[str]) -> str:
        """Wait for the next line that ``process`` writes to stderr."""
        assert process.stderr
        return process.stderr.readline()

    def said(self, process: subprocess.Popen[str]) -> str:
        """Give all that ``process`` has written to stderr until its end."""
        assert process.stderr
        return process.stderr.read()

    def sleeps(self, process: subprocess.Popen[str]) -> int:
        """How often all threads of ``process`` together have gone to sleep."""
        tasks = Path("/proc", str(process.pid), "task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))

    def state(self, process: subprocess.Popen[str]) -> str:
        """Give the state of the main thread of ``process``, as in proc(5)."""
        return Path("/proc", str(process.pid), "stat").read_text().rpartition(")")[2].split()[0]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """For what the kernel tells nobody about: look again and again."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline_s, "it never came to be"
            time.sleep(0.01)

    def _listen(self) -> None:
        assert select.select([self._reports], [], [], PATIENCE_S)[0], "nobody announced itself"
        *lines, self._unread = (self._unread + os.read(self._reports, 65536)).split(b"\n")
        for line in lines:
            report = json.loads(line)
            self._pidfds.append(_opened(report["pid"]))
            self._heard.append(Announced(pidfd=self._pidfds[-1], **report))

    def clean_up(self) -> None:
        # Parents first, for they start again what dies.
        for process in self._started:
            process.kill()
        while self._kill_some():
            time.sleep(0.01)
        for process in self._started:
            process.communicate(timeout=PATIENCE_S)
        for descriptor in {self._reports, *self._pidfds} - {ENDED}:
            os.close(descriptor)
        rmtree(self.run_dir, ignore_errors=True)

    def _kill_some(self) -> bool:
        """Kill what announced itself, and what runs a script of ours; tell whether there was any of these."""
        self.heard("whoever has not been listened to yet")
        for pidfd in set(self._pidfds) - {ENDED}:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        remaining = list(self._remaining())
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(remaining)

    def _remaining(self) -> Iterator[int]:
        # By their command lines, so that cleaning up does not rest on what is tested here.
        ours = os.fsencode(self.directory) + b"/"
        for entry in Path("/proc").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if entry.name.isdigit() and ours in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


def _opened(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return ENDED


def _clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    return {**kept, "PYTHONPATH": str(Path(orchestrator.__file__).parents[1])}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    workbench = Workbench(tmp_path)
    try:
        yield workbench
    finally:
        workbench.clean_up()


@pytest.fixture(autouse=True)
def _hangups_are_heard() -> Iterator[None]:
    """Whoever runs the tests may have them ignore SIGHUP, as nohup does, and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
