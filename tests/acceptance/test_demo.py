"""The demo as its users run it: it starts the service, shows what happened, and leaves no process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.long import LONG, some_of

REPOSITORY = Path(__file__).parents[2]
SCENARIOS = ("race", "paced-race", "retry", "reroute", "duplicate", "fallback", "workflow", "pace")
PATIENCE_S = 120.0

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

Run = Callable[..., "Demo"]


class Demo:
    """A running demo. All of its processes carry a mark of its own in their environment."""

    def __init__(self, *options: str) -> None:
        self._mark = f"EZTHROTTLE_TEST_MARK={uuid4()}"
        name, _, value = self._mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.demo", *options],
            cwd=REPOSITORY,
            env={**os.environ, name: value, "SPT_NOENV": "1", "PYTHONUTF8": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end; give exit code, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, stdout, stderr

    def wait_for_process(self, name: str) -> None:
        """Wait until a process of the demo's runs a program of that name."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not any(name in _command(pid) for pid in self.pids()):
            assert time.monotonic() < deadline_s, f"{name} did not start"
            assert self.process.poll() is None, "the demo has ended"
            time.sleep(0.05)

    def pids(self) -> list[int]:
        """List its processes, the orphaned ones too; zombies have no environment."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._carries_mark(entry)]

    def _carries_mark(self, entry: Path) -> bool:
        with suppress(OSError):
            return self._mark.encode() in entry.joinpath("environ").read_bytes().split(b"\0")
        return False


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@pytest.fixture
def demo() -> Iterator[Run]:
    running: list[Demo] = []

    def run(*options: str) -> Demo:
        running.append(Demo(*options))
        return running[-1]

    yield run
    for each in running:
        each.process.kill()
        each.process.communicate()
        for pid in each.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_demo_shows_that_all_of_it_was_so(demo: Run) -> None:
    running = demo()
    code, shown, stderr = running.finish()
    assert code == 0, shown + stderr
    for name in SCENARIOS:
        assert f"{name}: " in shown
        assert f"│ {name} " in shown
    assert "lax  won        ·" in shown
    assert "iad  cancelled  ·" in shown
    assert "connection closed at" in shown
    assert "never sent" in shown
    assert "answered 429" in shown
    assert "answered 500" in shown
    assert "1 job, 1 request" in shown
    assert "All of it was so." in shown
    assert running.pids() == []


@LONG
def test_targets_that_fail_and_signatures_that_do_not_match_are_named_and_make_it_exit_1(demo: Run) -> None:
    *broken, sound = SCENARIOS
    running = demo("--json", *(option for name in (*broken, "signatures") for option in ("--break", name)))
    code, stdout, stderr = running.finish()
    assert code == 1, stderr
    report = json.loads(stdout)
    assert report["ok"] is False
    assert (report["webhooks"]["received"] > 0, report["webhooks"]["verified"]) == (True, 0)
    told = {scenario["name"]: "\n".join(scenario["failures"]) for scenario in report["scenarios"]}
    assert [name for name in SCENARIOS if "the signature of the webhook of job_" not in told[name]] == []
    assert "expected valid, found signature_mismatch" in told[sound]
    not_found = "found failed (the target answered 404)"
    assert [name for name in SCENARIOS if not_found in told[name]] == broken
    assert running.pids() == []


@pytest.mark.parametrize("stop", some_of([signal.SIGINT, signal.SIGTERM], signal.SIGINT))
def test_a_demo_that_is_interrupted_while_the_service_starts_leaves_no_process(
    demo: Run, stop: signal.Signals
) -> None:
    running = demo()
    running.wait_for_process("raylet")
    running.process.send_signal(stop)
    code, shown, stderr = running.finish()
    assert code == 130, shown + stderr
    assert running.pids() == []
