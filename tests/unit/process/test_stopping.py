import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Workbench

DRAINS = """
on_sigterm(lambda *_: (announce('draining'), sys.exit(0)))
child('child'); daemon('daemon')
announce('driver'); rest()
"""
WAITS_WHEN_DRAINING = "on_sigterm(lambda *_: announce('draining')); announce('driver'); rest()"
DEAF = "on_sigterm(signal.SIG_IGN); child('child'); daemon('daemon'); announce('driver'); rest()"
FORKS_WITHOUT_A_HANDLER = "daemon('daemon')\nfor _ in range(300): child('child')\nrest()"
TREE = ("driver", "child", "daemon")
FOREVER_S = 10_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_stop_signal_lets_the_driver_drain_and_leaves_nothing(
    bench: "Workbench", number: signal.Signals
) -> None:
    serve = bench.serve(DRAINS, FOREVER_S)
    tree = bench.hear_all(*TREE)
    serve.send_signal(number)
    assert serve.wait() == 0
    assert bench.heard("draining")
    assert all(member.is_reaped() for member in tree)
    assert not bench.run_dir.exists()


def test_the_parent_waits_for_a_driver_that_drains(bench: "Workbench") -> None:
    serve = bench.serve(WAITS_WHEN_DRAINING, FOREVER_S)
    driver = bench.hear("driver")
    serve.terminate()
    assert bench.hear("draining").pid == driver.pid
    bench.wait_until(lambda: bench.state(serve) == "S")
    assert driver.is_alive()


def test_a_driver_that_does_not_end_is_killed_after_the_drain_time(bench: "Workbench") -> None:
    serve = bench.serve(DEAF, drain_timeout_s=0.3)
    tree = bench.hear_all(*TREE)
    serve.terminate()
    assert serve.wait() == 0
    assert all(member.is_reaped() for member in tree)
    assert "did not end within 0.5 s" in bench.said(serve)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_everything_at_once(bench: "Workbench", second: signal.Signals) -> None:
    serve = bench.serve(DEAF, FOREVER_S)
    tree = bench.hear_all(*TREE)
    serve.terminate()
    assert bench.next_line(serve).startswith("ezthrottle: stopping")
    serve.send_signal(second)
    assert serve.wait() == 0
    assert all(member.is_reaped() for member in tree)


def test_a_terminal_that_hangs_up_twice_still_drains(bench: "Workbench") -> None:
    serve = bench.serve(WAITS_WHEN_DRAINING, FOREVER_S)
    driver = bench.hear("driver")
    serve.send_signal(signal.SIGHUP)
    bench.hear("draining")
    bench.wait_until(lambda: bench.state(serve) == "S")
    slept = bench.sleeps(serve)
    serve.send_signal(signal.SIGHUP)
    bench.wait_until(lambda: bench.sleeps(serve) > slept)
    assert driver.is_alive()


def test_nohup_keeps_a_closed_terminal_from_stopping_it(bench: "Workbench") -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        serve = bench.serve(DEAF, FOREVER_S)
    finally:
        signal.signal(signal.SIGHUP, before)
    driver, _, _ = bench.hear_all(*TREE)
    serve.send_signal(signal.SIGHUP)
    signal.pidfd_send_signal(driver.pidfd, signal.SIGKILL)
    assert "starting again" in bench.next_line(serve)
    assert bench.hear("driver").is_alive()


def test_a_signal_while_the_driver_starts_leaves_nothing(bench: "Workbench") -> None:
    serve = bench.serve(FORKS_WITHOUT_A_HANDLER, FOREVER_S)
    tree = bench.hear_all("daemon", "child", "child", "child")
    serve.terminate()
    assert serve.wait() == 0
    assert all(member.is_reaped() for member in tree)
    assert bench.tree.pids() == []


def test_a_signal_while_an_old_tree_is_ended_starts_no_driver(bench: "Workbench") -> None:
    source = """
from orchestrator.adapters.process import parent
class StopsItself(parent.ProcessTree):
    def kill(self, *, timeout_s):
        super().kill(timeout_s=timeout_s)
        os.kill(os.getpid(), signal.SIGTERM)
parent.ProcessTree = StopsItself
command = [sys.executable, HERE / "driver.py"]
sys.exit(parent.run(command, data_dir=HERE / "data", drain_timeout_s=1, env=os.environ))
"""
    bench.script("driver.py", "announce('driver')")
    serve = bench.start(bench.script("stopped.py", source))
    assert serve.wait() == 0
    assert not bench.heard("driver")
    assert bench.said(serve) == ""


@pytest.mark.parametrize("driver", [DRAINS, DEAF], ids=["one that listens", "a deaf one"])
def test_a_serve_that_is_killed_leaves_no_process_behind(bench: "Workbench", driver: str) -> None:
    serve = bench.serve(driver, FOREVER_S)
    tree = bench.hear_all(*TREE)
    serve.kill()
    serve.wait()
    bench.wait_until(lambda: not any(member.is_alive() for member in tree))
    bench.wait_until(lambda: bench.tree.pids() == [])
