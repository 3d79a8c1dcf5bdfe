import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.adapters.process.tree import MARK, ProcessTree, TreeSurvivesError, still_alive, tree_id

if TYPE_CHECKING:
    from conftest import Workbench

MARKED = {MARK: "an-id"}


def test_all_paths_to_a_directory_name_one_tree(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert tree_id(tmp_path / "link") == tree_id(tmp_path / "link" / ".." / "data")
    assert tree_id(tmp_path / "data") != tree_id(tmp_path)


def test_a_daemon_that_left_its_session_and_its_parent_is_found(bench: "Workbench") -> None:
    script = bench.script("origin.py", "daemon('daemon'); child('child')")
    origin = bench.start(script, env=MARKED)
    daemon, child = bench.hear("daemon"), bench.hear("child")
    origin.wait()
    assert set(ProcessTree("an-id").pids()) == {daemon.pid, child.pid}


def test_killing_waits_until_every_member_has_ended(bench: "Workbench") -> None:
    script = bench.script("origin.py", "on_sigterm(signal.SIG_IGN); daemon('daemon'); announce('it'); rest()")
    bench.start(script, env=MARKED)
    members = bench.hear("daemon"), bench.hear("it")
    ProcessTree("an-id").kill(timeout_s=10)
    assert not any(member.is_alive() for member in members)
    assert ProcessTree("an-id").pids() == []


def test_members_that_keep_forking_are_ended_too(bench: "Workbench") -> None:
    source = "announce('it')\nfor _ in range(1000):\n    os.fork() or rest()\n    time.sleep(0.002)"
    bench.start(bench.script("origin.py", source), env=MARKED)
    bench.hear("it")
    ProcessTree("an-id").kill(timeout_s=10)
    assert ProcessTree("an-id").pids() == []


@pytest.mark.parametrize("mark", ["an-id2", "an-i", ""])
def test_a_process_with_another_mark_is_left_alone(bench: "Workbench", mark: str) -> None:
    bench.start(bench.script("other.py", "announce('other'); rest()"), env={MARK: mark, "X": f"{MARK}=an-id"})
    other = bench.hear("other")
    ProcessTree("an-id").kill(timeout_s=10)
    assert other.is_alive()


def test_neither_the_caller_nor_its_ancestors_are_members(bench: "Workbench") -> None:
    source = """
import subprocess
from orchestrator.adapters.process.tree import ProcessTree
if len(sys.argv) == 1:
    sys.exit(subprocess.call([sys.executable, __file__, "inner"]))
ProcessTree("an-id").kill(timeout_s=10)
"""
    assert bench.start(bench.script("outer.py", source), env=MARKED).wait() == 0


def test_a_worker_of_ray_that_renamed_itself_is_found(bench: "Workbench") -> None:
    source = "import ray._raylet; ray._raylet.setproctitle('ray::Shard'); announce('worker'); rest()"
    driver = "import subprocess; subprocess.call([sys.executable, str(HERE / 'worker.py')])"
    bench.script("worker.py", source)
    bench.serve(driver)
    worker = bench.hear("worker")
    assert worker.pid in bench.tree.pids()


def test_a_process_that_lives_past_the_deadline_is_named() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pidfd = os.pidfd_open(process.pid)
        assert still_alive({process.pid: pidfd}, time.monotonic()) == [process.pid]
        process.kill()
        assert still_alive({process.pid: pidfd}, time.monotonic() + 10) == []
        os.close(pidfd)
    assert "4711" in str(TreeSurvivesError([4711]))
