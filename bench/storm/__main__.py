"""A storm of refusals and an outage: the service beside clients that retry by themselves, on loopback.

The same jobs come at the same moments to every way of getting them done, each at a target of its own with
the same limit. The ways take turns, so that a noisy machine is noisy for all.
"""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.storm.arms import ARMS
from bench.storm.figure import draw
from bench.storm.outcome import Outcome
from bench.storm.play import play
from bench.storm.report import Runs, failures, table, too_busy
from bench.storm.scenarios import Known, Scenario, outage, storm

Plays = Mapping[Scenario, Runs]
"""The runs of each scenario, by arm."""

QUICK_STORM_S = 2.0
QUICK_OUTAGE_S = 10.0


def play_all(chosen: Sequence[Scenario], arms: Sequence[str], runs: int) -> Iterator[Plays]:
    """Play every scenario to each arm, so many times; give what is known after each time."""
    found: dict[Scenario, dict[str, list[Outcome]]] = {each: {arm: [] for arm in arms} for each in chosen}
    for number in range(runs):
        for scenario, by_arm in found.items():
            for arm, outcomes in by_arm.items():
                run = uvloop.run(play(scenario, ARMS[arm]))
                outcomes.append(run)
                finished = f"{run.finished} of {run.jobs} jobs finished after {run.took_s:.1f} s"
                asked = f"{run.requests} requests, {run.refusals} refused"
                print(f"run {number + 1}, {scenario.name}, {arm}: {finished}, {asked}", flush=True)
        yield found


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    """Choose the scenarios."""
    storm_s = QUICK_STORM_S if options.quick else options.storm_s
    away_s = QUICK_OUTAGE_S if options.quick else options.outage_s
    every = [*(storm(known, storm_s) for known in Known), outage(away_s, options.outage_per_s)]
    return [each for each in every if each.name in options.scenarios]


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*(storm(known).name for known in Known), outage(1.0).name]
    parser.add_argument("--quick", action="store_true", help="one run of everything, shorter")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--storm-s", type=float, default=5.0, help="how long the storm's jobs come")
    parser.add_argument("--outage-s", type=float, default=60.0, help="how long the target is away")
    parser.add_argument("--outage-per-s", type=float, default=100.0, help="jobs a second around the outage")
    parser.add_argument("--scenarios", nargs="+", choices=names, default=names)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--plot", type=Path, help="draw what reached the targets here")
    return parser.parse_args()


def written(plays: Plays) -> bytes:
    """Write every run, with the command and the machine that it was made by."""
    found = {
        "command": shlex.join(["python", "-m", "bench.storm", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "scenarios": list(plays),
        "runs": [run for runs in plays.values() for outcomes in runs.values() for run in outcomes],
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=1)


def save(plays: Plays, options: argparse.Namespace) -> None:
    """Write what is asked for."""
    if options.json:
        options.json.write_bytes(written(plays))
    if options.plot:
        # The picture is to be read at once: what a target states nothing of is in the table.
        stated = {scenario: runs for scenario, runs in plays.items() if scenario.known is Known.STATED}
        draw(stated or plays, options.plot)


def main() -> None:
    """Play, print, write what is asked for, and fail where a requirement does not hold."""
    options = read_options()
    plays: Plays = {}
    for plays in play_all(scenarios(options), options.arms, 1 if options.quick else options.runs):
        # What was played is kept, whatever becomes of the next round.
        save(plays, options)
    print("\n\n".join(table(scenario, runs) for scenario, runs in plays.items()))
    failed = [line for scenario, runs in plays.items() for line in failures(scenario, runs)]
    busy = [line for runs in plays.values() for line in too_busy(runs)]
    print("\n".join(["", *failed, *busy] if failed or busy else ["", "all requirements hold"]))
    sys.exit(bool(failed) and not busy)


if __name__ == "__main__":
    main()
