import signal

import pytest

DRAINS = """
on_sigterm(lambda *_: (announce('draining'), sys.exit(0)))
child('child'); daemon('daemon')
announce('driver'); rest()
"""
DEAF = "on_sigterm(signal.SIG_IGN); child('child'); daemon('daemon'); announce('driver'); rest()"
WAITS_WHEN_DRAINING = "on_sigterm(lambda *_: announce('draining')); announce('driver'); rest()"
FOREVER_S = 10_000
STOPPED_EARLY = """
from orchestrator.adapters.process import parent
class StopsItself(parent.ProcessTree):
    def kill(self, *, timeout_s):
        super().kill(timeout_s=timeout_s)
        os.kill(os.getpid(), signal.SIGTERM)
parent.ProcessTree = StopsItself
command = [sys.executable, "-c", "from fakes import *; announce('driver')"]
sys.exit(parent.run(command, data_dir=HERE / "data", drain_timeout_s=1, env={**os.environ, "PYTHONPATH": str(HERE)}))
"""


@pytest.fixture
def members(bench):
    return lambda: [bench.hear(name) for name in ("driver", "child", "daemon")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_stop_signal_lets_the_driver_drain_and_leaves_nothing(bench: "Workbench", members, number) -> None:
    serve = bench.serve(DRAINS, FOREVER_S)
    tree = members()
    serve.send_signal(number)
    assert serve.wait() == 0
    assert bench.heard("draining")
    assert all(member.is_reaped() for member in tree)
    assert not bench.ray_temp.exists()


def test_the_driver_is_told_to_drain(bench: "Workbench") -> None:
    serve = bench.serve(WAITS_WHEN_DRAINING, FOREVER_S)
    driver = bench.hear("driver")
    serve.terminate()
    assert bench.hear("draining").pid == driver.pid
    assert serve.poll() is None


def test_a_driver_that_does_not_end_is_killed_after_the_drain_time(bench: "Workbench", members) -> None:
    serve = bench.serve(DEAF, drain_timeout_s=0.3)
    tree = members()
    serve.terminate()
    assert serve.wait() == 0
    assert all(member.is_reaped() for member in tree)
    assert "did not end within 0.5 s" in serve.stderr.read()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_everything_at_once(bench: "Workbench", members, second) -> None:
    serve = bench.serve(DEAF, FOREVER_S)
    tree = members()
    serve.terminate()
    assert serve.stderr.readline().startswith("ezthrottle: stopping")
    serve.send_signal(second)
    assert serve.wait() == 0
    assert all(member.is_reaped() for member in tree)


def test_a_terminal_that_hangs_up_twice_still_drains(bench: "Workbench") -> None:
    serve = bench.serve(WAITS_WHEN_DRAINING, FOREVER_S)
    driver = bench.hear("driver")
    serve.send_signal(signal.SIGHUP)
    bench.hear("draining")
    slept = bench.sleeps(serve)
    serve.send_signal(signal.SIGHUP)
    bench.wait_until(lambda: bench.sleeps(serve) > slept)
    assert driver.is_alive()


def test_nohup_keeps_a_closed_terminal_from_stopping_it(bench: "Workbench") -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        serve = bench.serve(WAITS_WHEN_DRAINING, FOREVER_S)
    finally:
        signal.signal(signal.SIGHUP, before)
    bench.hear("driver")
    serve.send_signal(signal.SIGHUP)
    serve.terminate()
    bench.hear("draining")
    assert serve.stderr.readline().startswith("ezthrottle: stopping")
    bench.tree.kill(timeout_s=10)
    assert serve.wait() == 0


def test_a_signal_while_the_driver_starts_leaves_nothing(bench: "Workbench") -> None:
    # It has no handler yet, and goes on forking while the signal comes.
    serve = bench.serve("daemon('daemon')\nwhile True: child('child')", FOREVER_S)
    tree = [bench.hear(name) for name in ("daemon", "child", "child", "child")]
    serve.terminate()
    assert serve.wait() == 0
    assert all(member.is_reaped() for member in tree)
    assert bench.tree.pids() == []


def test_a_signal_before_the_driver_starts_starts_none(bench: "Workbench") -> None:
    serve = bench.start(bench.script("stopped.py", STOPPED_EARLY))
    assert serve.wait() == 0
    assert not bench.heard("driver")
