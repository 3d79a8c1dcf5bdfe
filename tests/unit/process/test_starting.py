import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Workbench

HEAVY = {
    "ray",
    "asyncio",
    "pydantic",
    "fastapi",
    "aiohttp",
    "typer",
    "orchestrator.core",
    "orchestrator.domain",
}
RESTS = "child('child'); daemon('daemon'); announce('driver'); rest()"
REPORTS_WHAT_IT_WAS_GIVEN = """
status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines())
announce(
    'driver',
    environment=dict(os.environ),
    blocked=int(status["SigBlk"], 16),
    ignored=int(status["SigIgn"], 16),
    leads=os.getsid(0) == os.getpid(),
    descriptors=[fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")],
)
rest()
"""


def test_the_parent_imports_nothing_heavy(bench: "Workbench") -> None:
    source = f"import orchestrator.adapters.process.parent; sys.exit(bool({HEAVY!r} & set(sys.modules)))"
    assert bench.start(bench.script("imports.py", source)).wait() == 0


def test_a_second_serve_is_refused_while_the_first_goes_on(bench: "Workbench") -> None:
    first = bench.serve(RESTS)
    tree = bench.hear_all("driver", "child", "daemon")
    second = bench.serve(RESTS)
    assert second.wait() == 2
    assert f"another serve (pid {first.pid})" in bench.said(second)
    assert all(member.is_alive() for member in tree)
    assert first.poll() is None


def test_what_a_killed_serve_left_running_is_ended_before_the_next_driver_starts(bench: "Workbench") -> None:
    first = bench.serve("on_sigterm(signal.SIG_IGN);" + RESTS)
    left = bench.hear_all("driver", "child", "daemon")
    first.kill()
    first.wait()
    assert all(member.is_alive() for member in left)
    bench.serve(RESTS)
    driver = bench.hear("driver")
    assert not any(member.is_alive() for member in left)
    assert driver.is_alive()


def test_a_deleted_data_directory_does_not_let_a_second_serve_in(bench: "Workbench") -> None:
    bench.serve(RESTS)
    driver = bench.hear("driver")
    (bench.data_dir / "serve.lock").unlink()
    assert bench.serve(RESTS).wait() == 2
    assert driver.is_alive()


def test_a_serve_that_is_refused_leaves_the_token_of_the_one_that_runs(bench: "Workbench") -> None:
    bench.serve(REPORTS_WHAT_IT_WAS_GIVEN)
    token = Path(bench.hear("driver").detail["environment"]["RAY_AUTH_TOKEN_PATH"])
    before = token.read_text()
    assert bench.serve(RESTS).wait() == 2
    assert token.read_text() == before
    assert token.stat().st_mode & 0o777 == 0o600


def test_processes_of_another_data_directory_are_left_alone(bench: "Workbench") -> None:
    bench.start(bench.script("other.py", "daemon('other')"), env={"EZTHROTTLE_TREE": "another"}).wait()
    other = bench.hear("other")
    serve = bench.serve(RESTS)
    bench.hear("driver")
    serve.terminate()
    assert serve.wait() == 0
    assert other.is_alive()


def test_the_driver_is_given_a_clean_start(bench: "Workbench") -> None:
    bench.run_dir.mkdir(mode=0o755)
    (bench.run_dir / "old").mkdir()
    bench.serve(REPORTS_WHAT_IT_WAS_GIVEN)
    given = bench.hear("driver").detail
    environment = given["environment"]
    assert environment["EZTHROTTLE_RUN_DIR"] == str(bench.run_dir)
    assert bench.run_dir.stat().st_mode & 0o777 == 0o700
    assert list(bench.run_dir.iterdir()) == []
    assert environment["SPT_NOENV"] == "1"
    assert given["leads"]
    assert given["descriptors"] == []
    assert given["blocked"] == 0
    assert not given["ignored"] & sum(1 << (n - 1) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))


def test_an_idle_parent_does_not_poll(bench: "Workbench") -> None:
    serve = bench.serve(RESTS)
    bench.hear("driver")
    # Its last wake-up is for the process between the daemon and the driver, which the driver reaps.
    bench.wait_until(lambda: bench.state(serve) == "S")
    slept = bench.sleeps(serve)
    time.sleep(1)
    assert bench.sleeps(serve) == slept


def test_old_processes_that_can_not_be_ended_keep_it_from_starting(bench: "Workbench") -> None:
    source = """
from orchestrator.adapters.process import parent, tree
tree.still_alive = lambda members, deadline_s: [4711]
command = [sys.executable, HERE / "driver.py"]
sys.exit(parent.run(command, data_dir=HERE / "data", drain_timeout_s=1, env=os.environ))
"""
    bench.script("driver.py", "announce('driver')")
    serve = bench.start(bench.script("stuck.py", source))
    assert serve.wait() == 1
    assert "do not end on SIGKILL: 4711" in bench.said(serve)
    assert not bench.heard("driver")
