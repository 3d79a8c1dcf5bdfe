"""Every process of one service, found by the mark that it carries in its environment.

Parentage is lost when a parent is killed, and process groups are left by whoever calls setsid; an
environment variable is inherited through both.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

MARK = "EZTHROTTLE_TREE"
_PROC = Path("/proc")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
_RESCAN_PAUSE_S = 0.01


class TreeSurvivesError(Exception):
    """Processes that SIGKILL did not end in time, as when they hang in a disk that does not answer."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(f"these processes do not end on SIGKILL: {', '.join(map(str, pids))}")


def tree_id(data_dir: Path) -> str:
    """Name the tree that serves ``data_dir``: 32 hex digits, equal for all paths to the directory."""
    return sha256(os.fsencode(data_dir.resolve())).hexdigest()[:32]


class ProcessTree:
    """The processes that carry ``EZTHROTTLE_TREE=<tree_id>``; never this one or an ancestor of it."""

    def __init__(self, tree_id: str) -> None:
        self._entry = f"{MARK}={tree_id}".encode()
        self._namespace = _pid_namespace(os.getpid())

    def pids(self) -> list[int]:
        """Pids of the live members. Zombies are none: they hold nothing, and have no environment."""
        family = set(_lineage())
        found = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
        return [pid for pid in found if pid not in family and self._carries_mark(pid)]

    def kill(self, *, timeout_s: float) -> None:
        """Send SIGKILL to every member until there is none, and wait until each has ended.

        Raises TreeSurvivesError when some live on after ``timeout_s``.
        """
        deadline_s = time.monotonic() + timeout_s
        empty_scans = 0
        # A process in the midst of execve shows no environment, so one empty scan proves nothing.
        while empty_scans < 2:  # noqa: PLR2004
            killed = self._kill_once(deadline_s)
            empty_scans = 0 if killed else empty_scans + 1
            time.sleep(_RESCAN_PAUSE_S)

    def _kill_once(self, deadline_s: float) -> bool:
        with ExitStack() as opened:
            members = dict(self._open_members(opened))
            for pidfd in members.values():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if survivors := still_alive(members, deadline_s):
                raise TreeSurvivesError(survivors)
            return bool(members)

    def _open_members(self, opened: ExitStack) -> Iterator[tuple[int, int]]:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                opened.callback(os.close, pidfd)
                # Looked at again with the descriptor open: the number may have changed hands since.
                if self._carries_mark(pid):
                    yield pid, pidfd

    def _carries_mark(self, pid: int) -> bool:
        try:
            if self._entry not in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                return False
            # A container's /data is not ours, though its processes are visible from the host.
            return _pid_namespace(pid) == self._namespace
        except _GONE:
            return False


def still_alive(members: dict[int, int], deadline_s: float) -> list[int]:
    """Wait for the ends of ``members`` (pid to pidfd); give those that live at ``deadline_s``, monotonic."""
    poller = select.poll()
    pid_of = {pidfd: pid for pid, pidfd in members.items()}
    for pidfd in pid_of:
        poller.register(pidfd, select.POLLIN)
    while pid_of:
        ended = poller.poll(max(0.0, deadline_s - time.monotonic()) * 1000)
        if not ended:
            break
        for pidfd, _ in ended:
            poller.unregister(pidfd)
            del pid_of[pidfd]
    return sorted(pid_of.values())


def _pid_namespace(pid: int) -> Path:
    return (_PROC / str(pid) / "ns" / "pid").readlink()


def _lineage() -> Iterator[int]:
    """Give this process and its ancestors, as far as this PID namespace shows them."""
    pid = os.getpid()
    with suppress(*_GONE):
        while pid:
            yield pid
            # The name in parentheses may itself hold blanks and parentheses.
            after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2]
            pid = int(after_name.split()[1])
