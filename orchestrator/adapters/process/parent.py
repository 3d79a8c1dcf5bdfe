"""The thin parent of ``ezthrottle serve``: it starts the driver, and answers for every process below it.

It imports nothing heavy. Ray can abort its own process, and whoever ends the tree must outlive that.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

from msgspec import Struct

from orchestrator.adapters.process.directories import (
    RUN_DIR,
    SERVED_BEFORE,
    SERVED_FILE,
    RefusedError,
    RunDir,
    held_data_dir,
    run_dir_path,
)
from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.process.guardian import guarded
from orchestrator.adapters.process.output import StderrRelay, say
from orchestrator.adapters.process.ray_environment import ray_environment
from orchestrator.adapters.process.restarts import RestartBudget
from orchestrator.adapters.process.signal_inbox import SignalInbox
from orchestrator.adapters.process.tree import MARK, ProcessTree, TreeSurvivesError, tree_id

DRAIN_GRACE_S = 5.0
KILL_TIMEOUT_S = 15.0
_RELAY_TIMEOUT_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36


class Exit(IntEnum):
    """How ``serve`` ends."""

    STOPPED = 0
    """Asked to stop, and nothing is left."""
    GAVE_UP = 1
    """The driver kept dying, or processes could not be ended."""
    REFUSED = 2
    """The configuration, the data directory or the temporary directory can't be used."""


def run(command: Sequence[str], *, data_dir: Path, drain_timeout_s: float, env: Mapping[str, str]) -> int:
    """Run ``command`` as the driver of ``data_dir`` until a stop signal; give the exit code to leave with.

    ``env`` is the driver's environment, to which ``EZTHROTTLE_TREE``, ``EZTHROTTLE_RUN_DIR`` and what Ray
    needs are added. SIGTERM, SIGINT, SIGHUP or SIGQUIT ask the driver to end by SIGTERM, and it has
    ``drain_timeout_s`` plus 5 s; a second one, SIGHUP apart, ends all at once. A driver that exits with
    ``ExitCode.CONFIG`` or ``SPENT`` is not started again. For the main thread of a process that exits right
    afterwards; whatever other children it has are reaped.
    """
    try:
        with SignalInbox() as inbox, held_data_dir(data_dir) as held:
            tree = tree_id(held)
            with RunDir.claimed(run_dir_path(tree, env.get("TMPDIR"))) as temp:
                _become_subreaper()
                # Only under the lock: the Ray of a service that runs reads its token again and again.
                complete = {**_driver_env(env, tree, temp.path), **ray_environment(held, env)}
                launch = _Launch(command, complete, drain_timeout_s + DRAIN_GRACE_S)
                return _Parent(launch, ProcessTree(tree), temp, inbox).serve()
    except RefusedError as error:
        say(str(error))
        return Exit.REFUSED
    except TreeSurvivesError as error:
        say(str(error))
        return Exit.GAVE_UP


def _driver_env(env: Mapping[str, str], tree: str, run_dir: Path) -> dict[str, str]:
    # Ray's workers rename themselves, and setproctitle writes over the environment, and so over the
    # mark, unless SPT_NOENV forbids it.
    return {**env, MARK: tree, RUN_DIR: str(run_dir), "SPT_NOENV": "1"}


def _become_subreaper() -> None:
    """Have orphans of the tree re-parented to this process, which can then reap them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Launch(Struct, frozen=True):
    command: Sequence[str]
    env: Mapping[str, str]
    stop_timeout_s: float


class _Life(Struct, frozen=True):
    """One driver's, from start to end."""

    stopped: bool
    exit_code: int
    was_ready: bool
    last_lines: list[str]


class _Parent:
    def __init__(self, launch: _Launch, tree: ProcessTree, temp: RunDir, inbox: SignalInbox) -> None:
        self._launch = launch
        self._tree = tree
        self._temp = temp
        self._inbox = inbox
        self._served_before = False

    def serve(self) -> Exit:
        self._tree.kill(timeout_s=KILL_TIMEOUT_S)
        outcome = self._restart_until_settled()
        # Ray's logs, which tell why a driver keeps dying, are in there; the next start deletes them.
        if outcome is Exit.GAVE_UP:
            say(f"the logs of the last try are kept in {self._temp.path}")
        else:
            self._temp.remove()
        return outcome

    def _restart_until_settled(self) -> Exit:
        budget = RestartBudget()
        while not self._inbox.wait(0):
            self._temp.wipe()
            life = self._live_once()
            if life.stopped:
                return Exit.STOPPED
            if life.exit_code == ExitCode.CONFIG:
                return Exit.REFUSED
            if life.exit_code == ExitCode.SPENT:
                return Exit.GAVE_UP
            self._served_before |= life.was_ready
            budget = budget.after_death(time.monotonic(), was_ready=life.was_ready)
            if budget.spent:
                _explain(life, budget)
                return Exit.GAVE_UP
            say(f"the driver ended ({_described(life.exit_code)}); starting again")
        return Exit.STOPPED

    def _live_once(self) -> _Life:
        with guarded(self._launch.env[MARK], self._launch.env):
            return self._live_guarded()

    def _live_guarded(self) -> _Life:
        relay = StderrRelay(_RELAY_TIMEOUT_S)
        driver = subprocess.Popen(  # noqa: S603 - the command is the caller's own, and no shell reads it
            self._launch.command,
            env={**self._launch.env, **({SERVED_BEFORE: "1"} if self._served_before else {})},
            stdin=subprocess.DEVNULL,
            stderr=relay.write_end,
            start_new_session=True,
        )
        relay.start()
        try:
            stopped = self._attend(driver)
        finally:
            self._end_tree(driver)
        was_ready = Path(self._temp.path, SERVED_FILE).exists()
        relay.stop()
        return _Life(stopped, driver.returncode, was_ready, relay.last_lines)

    def _attend(self, driver: subprocess.Popen[bytes]) -> bool:
        """Wait until the driver has ended, or is to be ended; tell whether a stop was asked for."""
        while self._reap(driver) is None:
            if stops := self._inbox.wait(None):
                self._drain(driver, stops[1:])
                return True
        return False

    def _drain(self, driver: subprocess.Popen[bytes], more_stops: list[signal.Signals]) -> None:
        say("stopping; a second signal ends what is under way at once")
        driver.terminate()
        deadline_s = time.monotonic() + self._launch.stop_timeout_s
        while self._reap(driver) is None and not _is_urgent(more_stops):
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                say(f"the driver did not end within {self._launch.stop_timeout_s:g} s; ending it")
                return
            more_stops = self._inbox.wait(remaining_s)

    def _end_tree(self, driver: subprocess.Popen[bytes]) -> None:
        driver.kill()
        self._tree.kill(timeout_s=KILL_TIMEOUT_S)
        driver.wait(KILL_TIMEOUT_S)
        self._reap(driver)

    def _reap(self, driver: subprocess.Popen[bytes]) -> int | None:
        """Reap whatever has ended, orphans too; give the driver's exit code if it has."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == driver.pid:
                    driver.returncode = os.waitstatus_to_exitcode(ended[1])
        return driver.returncode


def _is_urgent(stops: list[signal.Signals]) -> bool:
    # A terminal that closes sends SIGHUP, and the shell in it sends it again: that is one wish.
    return any(number is not signal.SIGHUP for number in stops)


def _explain(life: _Life, budget: RestartBudget) -> None:
    soon = len(budget.deaths_s) >= budget.limit
    how = f"within {budget.window_s:g} s" if soon else "without having been ready once"
    say(f"the driver died {budget.limit} times {how}; giving up. Its last lines:")
    for line in life.last_lines:
        say(f"  {line}")
    say(f"it ended with {_described(life.exit_code)}")


def _described(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    return f"signal {-exit_code}: {signal.strsignal(-exit_code)}"
