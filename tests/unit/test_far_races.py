"""What races over agents are compared with: an echo, and how its losers count."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.far_races import Run, Sample, rows
from bench.ports import free_port
from bench.testbed.target import read_events

REGIONS = ("iad", "lax", "ord")
PATIENCE_S = 30.0


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[None]:
    """Run a part of the testbed once it listens, until the block ends."""
    command = (sys.executable, "-m", f"bench.testbed.{module}", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield
        process.kill()


@contextlib.contextmanager
def running_echo(log: Path) -> Iterator[int]:
    """Run a target, a relay for each region and a front; give the front's port."""
    target, front, *relays = (str(free_port()) for _ in ("target", "front", *REGIONS))
    with contextlib.ExitStack() as stack:
        stack.enter_context(running("target", target, str(log)))
        for region, relay in zip(REGIONS, relays, strict=True):
            stack.enter_context(running("echo", "relay", relay, region, "127.0.0.1", target))
        addresses = [word for relay in relays for word in ("127.0.0.1", relay)]
        stack.enter_context(running("echo", "front", front, *addresses))
        yield int(front)


def ended(log: Path, name: str) -> set[tuple[str, str]]:
    """Tell how each region's request of a name ended, once all have."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ends = {(each.what, each.region) for each in read_events(log) if each.job == name}
        ends -= {("request", region) for region in REGIONS}
        if len(ends) == len(REGIONS):
            return ends
        time.sleep(0.01)
    raise TimeoutError(name)


def test_an_echo_is_back_with_the_first_answer_and_has_the_others_closed(tmp_path: Path) -> None:
    log = tmp_path / "target.jsonl"
    with (
        running_echo(log) as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as echo,
        echo.makefile("rb") as answers,
    ):
        for number, winner in enumerate(("ord", "ord", "iad")):
            name = f"echo-{number}"
            echo.sendall(f"{name} /race?after=30&after_{winner}=0.05\n".encode())
            assert answers.readline().decode() == f"{name}\n"
            losers = set(REGIONS) - {winner}
            assert ended(log, name) == {("answered", winner), *(("closed", loser) for loser in losers)}


def sample(ms: float, closed: float, winner: str = "iad", loser: str = "lax") -> Sample:
    return Sample(winner, ms, {loser: closed})


def test_a_race_is_as_far_above_the_echo_as_their_percentiles_are_apart() -> None:
    run = Run([sample(12, 0), sample(15, 0), sample(90, 0)], [sample(9, 0), sample(10, 0), sample(80, 0)], 0)
    assert (run.above(0.5), run.above(0.99)) == (5, 10)


def test_a_loser_is_compared_with_the_echos_of_the_same_two_regions() -> None:
    races = [sample(0, 45), sample(0, 21, "ord", "iad")]
    echoes = [sample(0, ms) for ms in (40, 43, 44)] + [sample(0, 20, "ord", "iad")]
    run = Run(races, echoes, 0)
    assert run.closed_above() == [2, 1]
    assert rows(run)["... by the echo"] == [40, 43, 44, 20]
