import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Workbench

RESTS = "child('child'); daemon('daemon'); announce('driver'); rest()"
DIES = "daemon('daemon'); announce('driver'); print('the reason', file=sys.stderr); sys.exit(3)"


def test_a_driver_that_was_killed_is_started_again_on_a_clean_machine(bench: "Workbench") -> None:
    serve = bench.serve(RESTS)
    first = bench.hear_all("driver", "child", "daemon")
    os.kill(first[0].pid, signal.SIGKILL)
    second = bench.hear("driver")
    assert second.pid != first[0].pid
    assert all(member.is_reaped() for member in first)
    assert "starting again" in bench.next_line(serve)


def test_a_driver_that_leaves_of_its_own_will_is_started_again(bench: "Workbench") -> None:
    bench.serve("announce('driver'); time.sleep(0.1)")
    bench.hear("driver")
    assert bench.hear("driver")


def test_the_third_death_within_a_minute_ends_it_with_the_reason(bench: "Workbench") -> None:
    serve = bench.serve(DIES)
    daemons = bench.hear_all("daemon", "daemon", "daemon")
    assert serve.wait() == 1
    assert all(daemon.is_reaped() for daemon in daemons)
    said = bench.said(serve)
    assert "died 3 times within 60 s" in said
    assert "ezthrottle:   the reason" in said
    assert said.rstrip().splitlines()[-2].endswith("exit code 3")
    assert bench.run_dir.exists()


def test_a_driver_is_told_whether_one_before_it_was_ready(bench: "Workbench") -> None:
    tells = "announce('driver', before=os.environ.get('EZTHROTTLE_SERVED_BEFORE')); "
    serves = "Path(os.environ['EZTHROTTLE_RUN_DIR'], 'served').touch(); sys.exit(3)"
    bench.serve(tells + serves)
    assert [driver.detail for driver in bench.hear_all("driver", "driver")] == [
        {"before": None},
        {"before": "1"},
    ]


def test_a_configuration_error_is_not_tried_again(bench: "Workbench") -> None:
    serve = bench.serve(
        "daemon('daemon'); print('port 8080 is in use', file=sys.stderr); sys.exit(os.EX_CONFIG)"
    )
    daemon = bench.hear("daemon")
    assert serve.wait() == 2
    assert daemon.is_reaped()
    assert bench.said(serve) == "port 8080 is in use\n"
    assert not bench.heard("daemon")


def test_orphans_are_reaped_while_the_driver_lives(bench: "Workbench") -> None:
    orphan = "if not os.fork():\n    os.fork() or (announce('orphan'), time.sleep(0.1))\n    os._exit(0)\n"
    bench.serve(orphan + "os.wait(); announce('driver'); rest()")
    orphan, driver = bench.hear("orphan"), bench.hear("driver")
    bench.wait_until(orphan.is_reaped)
    assert driver.is_alive()
