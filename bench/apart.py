"""The whole path with its executor beside the shard, and with one on another machine without delay, in turns.

``python -m bench.apart`` (root). Two services: the executor of one is reached by a Unix socket; the other's
is a region agent behind TLS, in namespaces of its own (`bench/testbed/beside.py`), with a target on its
loopback as the first one has. Submit, target, signed webhook, as in `bench.throughput`.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.agents import Gate
from bench.figures import over_runs
from bench.service import Bystanders, Service, cpu_seconds, running_service
from bench.submitter import sign_webhooks
from bench.testbed.beside import HERE, machine_beside
from bench.testbed.machine import Machine, Process
from bench.testbed.namespaces import why_not
from bench.throughput import SECRET, Load, Round, measure, running_target, warm_load
from tests.support.certificates import Certificate

REGION = "iad"
REQUIRED = 0.9


@dataclass(slots=True)
class Pair:
    """A round of each; ``agent_ms_per_job`` is the agent's own CPU time, the rest of it is in ``apart``."""

    beside: Round
    apart: Round
    agent_ms_per_job: float
    others_cores: float

    @property
    def ratio(self) -> float:
        """Rate with the executor on another machine, as a share of that with one beside the shard."""
        return self.apart.jobs_per_s / self.beside.jobs_per_s


@dataclass(slots=True)
class Apart:
    """A service whose one region is an agent on another machine."""

    service: Service
    agent: Process

    def agent_cpu_s(self) -> float:
        """Sum the CPU time of the agent, s."""
        return sum(cpu_seconds(pid) for pid in self.agent.pids)


@contextlib.contextmanager
def running_apart(machine: Machine) -> Iterator[Apart]:
    """Run a service here and its agent there, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="ezthrottle-") as directory:
        data_dir = Path(directory)
        gate = Gate.make(data_dir, Certificate.made(HERE).write(data_dir), HERE)
        agent = _start_agent(machine, gate)
        options = ("--allow-private-targets", "--regions", "", *gate.options)
        with running_service(*options, data_dir=data_dir) as service:
            sign_webhooks(service, SECRET)
            yield Apart(service, agent)


def _start_agent(machine: Machine, gate: Gate) -> Process:
    _, token = gate.token(REGION)
    assert gate.certificate is not None
    for path in (token, gate.certificate):
        shutil.copy(path, machine.srv)
    return machine.start(
        *("python", "-m", "orchestrator", "region", "--name", REGION, "--join", gate.url),
        *("--ca", f"/srv/{gate.certificate.name}", "--token-file", f"/srv/{token.name}"),
        "--allow-private-targets",
    )


@contextlib.contextmanager
def running_beside() -> Iterator[Service]:
    """Run a service with one executor beside its shard, until the block ends."""
    with running_service("--allow-private-targets", "--regions", REGION) as service:
        sign_webhooks(service, SECRET)
        yield service


async def compare(beside: Service, apart: Apart, target_port: int, options: argparse.Namespace) -> list[Pair]:
    """Run the pairs. Who goes first alternates."""
    async with loads(beside, apart, target_port, options.in_flight) as (near, far):
        pairs = []
        for number in range(options.pairs):
            pairs.append(await one_pair((beside, near), (apart, far), options, far_first=bool(number % 2)))
            print(show(pairs[-1]), flush=True)
        return pairs


@contextlib.asynccontextmanager
async def loads(
    beside: Service, apart: Apart, target_port: int, in_flight: int
) -> AsyncIterator[tuple[Load, Load]]:
    """Warm both up."""
    async with (
        warm_load(beside, target_port, in_flight) as near,
        warm_load(apart.service, target_port, in_flight) as far,
    ):
        yield near, far


async def one_pair(
    near: tuple[Service, Load], far: tuple[Apart, Load], options: argparse.Namespace, *, far_first: bool
) -> Pair:
    """Run a round of each."""
    others = Bystanders()
    apart = await far_round(*far, options) if far_first else None
    beside = await measure(near[1], near[0], options.jobs, options.in_flight)
    round_, agent_ms = apart or await far_round(*far, options)
    return Pair(beside, round_, agent_ms, others.cores())


async def far_round(apart: Apart, load: Load, options: argparse.Namespace) -> tuple[Round, float]:
    """Run a round with the executor on another machine; give its agent's CPU time, too, ms a job."""
    before = apart.agent_cpu_s()
    round_ = await measure(load, apart.service, options.jobs, options.in_flight)
    return round_, (apart.agent_cpu_s() - before) / options.jobs * 1000


def show(pair: Pair) -> str:
    """Write one pair for people."""
    beside, apart = pair.beside, pair.apart
    return (
        f"beside {beside.jobs_per_s:6.0f} jobs/s {beside.cpu_ms_per_job:5.2f} ms CPU/job"
        f"  apart {apart.jobs_per_s:6.0f} jobs/s {apart.cpu_ms_per_job:5.2f} and {pair.agent_ms_per_job:4.2f}"
        f"  ratio {pair.ratio:.3f}"
    )


def summary(pairs: Sequence[Pair]) -> str:
    """Write down the medians of all pairs, and their spread."""
    rows = {
        f"on another machine / beside the shard (required: {REQUIRED})": [pair.ratio for pair in pairs],
        "CPU ms per job, all processes, beside": [pair.beside.cpu_ms_per_job for pair in pairs],
        "... on another machine": [pair.apart.cpu_ms_per_job + pair.agent_ms_per_job for pair in pairs],
        "cores that others used meanwhile": [pair.others_cores for pair in pairs],
    }
    return "\n".join(f"{name}: {over_runs(values):.3f}" for name, values in rows.items())


def main() -> None:
    """Run the benchmark and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs a round")
    parser.add_argument("--in-flight", type=int, default=200, help="jobs at once")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the pairs here")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    with (
        machine_beside() as machine,
        running_target() as target_port,
        running_beside() as beside,
        running_apart(machine) as apart,
    ):
        machine.start("python", "-m", "bench.target", str(target_port))
        pairs = uvloop.run(compare(beside, apart, target_port, options))
    print(f"{options.pairs} pairs of {options.jobs} jobs, {options.in_flight} in flight")
    print(summary(pairs))
    if options.json:
        options.json.write_text(json.dumps([asdict(pair) for pair in pairs], indent=1) + "\n")


if __name__ == "__main__":
    main()
