"""One machine: what is started on it, and how it loses power."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.service import descendants
from bench.testbed.namespaces import enter_net, open_net

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0
_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Nothing of a testbed outlives the process that made it, however that ends."""


class MachinePlan(msgspec.Struct, frozen=True):
    """Where a machine is, and how many seconds its monotonic clock is ahead of this machine's."""

    name: str
    address: str
    clock_ahead_s: int = 0


class Process:
    """A process on a machine."""

    def __init__(self, entering: subprocess.Popen[bytes], log: Path) -> None:
        self._entering = entering
        self.log = log

    @property
    def pids(self) -> list[int]:
        """It and what is below it, as numbered outside of the machine."""
        return [pid for pid in descendants(self._entering.pid) if pid != self._entering.pid]

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._entering.poll() is None

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end, and give its exit code.

        Raises:
            subprocess.TimeoutExpired: It runs on.

        """
        return self._entering.wait(within_s)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        for pid in _children(self._entering.pid):
            os.kill(pid, number)

    def kill(self) -> None:
        """Kill it and everything below it."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()

    def output(self) -> str:
        """Give what it has said so far."""
        return self.log.read_text(errors="replace")


class Machine:
    """Namespaces of its own for network, processes, files, name, memory and clocks.

    Args:
        plan: Where it is.
        disk: The directory that is its disk, as seen from outside.
        net: A path to its network namespace.
    """

    def __init__(self, plan: MachinePlan, disk: Path, net: str) -> None:
        self.plan = plan
        self.disk = disk
        self._net = net
        self._holder: subprocess.Popen[bytes] | None = None
        self._started: list[Process] = []
        for part in ("srv", "tmp", "etc", "log"):
            disk.joinpath(part).mkdir(parents=True)
        disk.joinpath("tmp").chmod(0o1777)
        disk.joinpath("etc/resolv.conf").touch()

    @property
    def name(self) -> str:
        """Its host name."""
        return self.plan.name

    @property
    def address(self) -> str:
        """Its IP address."""
        return self.plan.address

    @property
    def srv(self) -> Path:
        """Its ``/srv``, as seen from outside. It outlives the loss of power, ``/tmp`` does not."""
        return self.disk / "srv"

    @property
    def is_up(self) -> bool:
        """Whether it has power."""
        return self._holder is not None and self._holder.poll() is None

    def boot(self) -> None:
        """Switch it on: another boot id, an empty /tmp, nothing running.

        Raises:
            RuntimeError: It does not come up; the reason is in ``log/init.log`` of its disk.

        """
        shutil.rmtree(self.disk / "tmp")
        self.disk.joinpath("tmp").mkdir(mode=0o1777)
        ahead = str(self.plan.clock_ahead_s)
        command = (
            *_WITH_US,
            *("nsenter", f"--net={self._net}"),
            *("unshare", "--mount", "--uts", "--ipc", "--pid", "--time", "--fork", "--kill-child"),
            *("--monotonic", ahead, "--boottime", ahead),
            *(sys.executable, "-m", "bench.testbed.init", self.name, str(self.disk), *_kept()),
        )
        with self.disk.joinpath("log/init.log").open("wb") as log:
            self._holder = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=CHECKOUT
            )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            raise RuntimeError(self.disk.joinpath("log/init.log").read_text())

    def lose_power(self) -> None:
        """End all that runs on it at once. Its kernel tells its peers: cut it off first where it must not."""
        if self._holder is not None:
            for pid in _children(self._holder.pid):
                os.kill(pid, signal.SIGKILL)
            self._holder.wait(PATIENCE_S)
            assert self._holder.stdout is not None
            self._holder.stdout.close()
        for process in self._started:
            process.wait()

    def start(self, *command: str, env: Mapping[str, str] = {}) -> Process:
        """Start something there; what it says goes to a file on the machine's disk."""
        assert self._holder is not None
        [init] = _children(self._holder.pid)
        path = self.disk / "log" / f"{len(self._started)}-{Path(command[0]).name}.log"
        entering = (*_WITH_US, "nsenter", "-t", str(init), *_ALL, f"--wdns={CHECKOUT}")
        with path.open("wb") as log:
            process = subprocess.Popen(
                (*entering, *_WITH_US, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_ENVIRONMENT, **env},
            )
        self._started.append(Process(process, path))
        return self._started[-1]

    def run(self, *command: str, env: Mapping[str, str] = {}, within_s: float = 60) -> str:
        """Run something there to its end, and give what it said.

        Raises:
            RuntimeError: It failed; with what it said.
            subprocess.TimeoutExpired: It did not end in time, and was killed.

        """
        process = self.start(*command, env=env)
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if code:
            raise RuntimeError(f"{' '.join(command)} ended with {code}: {process.output()}")
        return process.output()

    def pids(self, name: str) -> list[int]:
        """Find the processes there by name (15 characters at most), as numbered outside of the machine."""
        assert self._holder is not None
        [init] = _children(self._holder.pid)
        space = Path(f"/proc/{init}/ns/pid").readlink()
        return [pid for pid in _pids_of(space) if _comm(pid) == name]

    def kill(self, name: str) -> int:
        """Kill the processes with this name there; say how many."""
        pids = self.pids(name)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Let this thread be on the machine's network for a while: sockets that it makes then stay there."""
        home, there = open_net(), os.open(self._net, os.O_RDONLY)
        try:
            enter_net(there)
            yield
        finally:
            enter_net(home)
            os.close(home)
            os.close(there)

    def hide(self, path: Path) -> None:
        """Let nobody there see what a directory of the checkout holds."""
        self.run("mount", "-t", "tmpfs", "none", str(path))

    def show(self, path: Path) -> None:
        """Undo ``hide``."""
        self.run("umount", "--lazy", str(path))


_ALL = ("--mount", "--uts", "--ipc", "--net", "--pid", "--time")
_ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "HOME": "/srv",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def _kept() -> list[str]:
    """Name what of ours lies beneath a directory that every machine has for itself."""
    ours = {CHECKOUT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    return sorted(str(path) for path in ours if path.parts[1] in ("tmp", "srv"))


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _pids_of(space: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.joinpath("ns/pid").readlink() == space:
                found.append(int(entry.name))
    return found


def _comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
