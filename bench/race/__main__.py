"""Ways of running a job over three regions, beside each other and an oracle, on loopback.

Each workload is played to every arm with the same draws, as many times as there are runs; the arms take
turns, so that a noisy machine is noisy for all. Jobs come when they are due, whatever became of others.
"""

import argparse
import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import uvloop

from bench.race.arms import ARMS
from bench.race.outcome import Outcome
from bench.race.play import WARM_UP_JOBS, Stage, running_stage, running_target
from bench.race.report import Row, oracle_row, page, plot, row, table
from bench.race.workloads import WORKLOADS
from bench.service import Service, running_service


async def play(service: Service, target_url: str, options: argparse.Namespace) -> list[Row]:
    """Play every workload to every arm; give a row for each."""
    rows: list[Row] = []
    async with running_stage(service, target_url) as stage:
        warm = ARMS["race of 3"]
        await stage.play(WORKLOADS["constant"], warm, jobs=WARM_UP_JOBS, per_s=20, seed=0)
        for workload in options.workloads:
            runs = await _runs(stage, workload, options)
            rows += [row(workload, runs[arm]) for arm in options.arms]
            rows.append(oracle_row(workload, runs[options.arms[0]][0]))
            print(table(rows[-len(options.arms) - 1 :]), flush=True)
    return rows


async def _runs(stage: Stage, workload: str, options: argparse.Namespace) -> dict[str, list[Outcome]]:
    runs: defaultdict[str, list[Outcome]] = defaultdict(list)
    for number in range(options.runs):
        for arm in options.arms:
            outcome = await stage.play(
                WORKLOADS[workload],
                ARMS[arm],
                jobs=options.jobs,
                per_s=options.per_s,
                seed=options.seed + number,
            )
            runs[arm].append(outcome)
            if outcome.begun_late_p99_ms > options.late_most_ms:
                late = f"jobs were begun {outcome.begun_late_p99_ms:.0f} ms late (p99)"
                print(f"{workload}, {arm}: {late}: too busy to judge")
    return runs


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return names

    return read


def main() -> None:
    """Play, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2_000, help="a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--per-s", type=float, default=100.0, help="jobs begun a second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workloads", type=_names(list(WORKLOADS)), default=list(WORKLOADS))
    parser.add_argument("--arms", type=_names(list(ARMS)), default=list(ARMS))
    parser.add_argument("--late-most-ms", type=float, default=20.0, help="begun later: too busy to judge")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--plot", type=Path, help="draw the distributions here")
    parser.add_argument("--page", type=Path, help="write a page that shows all of it here")
    options = parser.parse_args()
    with running_target() as target_url, running_service("--allow-private-targets") as service:
        rows = uvloop.run(play(service, target_url, options))
    load = f"{options.runs} runs of {options.jobs} jobs an arm, {options.per_s:g} a second"
    made_with = f"{load}, seed {options.seed}; Python {platform.python_version()}, loopback."
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))
    if options.plot:
        plot(rows, options.plot)
    if options.page:
        options.page.write_text(page(rows, made_with))


if __name__ == "__main__":
    main()
