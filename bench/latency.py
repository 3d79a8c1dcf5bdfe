"""Latency of the whole path: from submission to webhook with nothing else to do, and of the acknowledgement
at a steady rate.

At the steady rate jobs are sent when they are due, however slow the answers are: a service that stalls
can't hide it by holding up its own load. How late they were sent is shown too, for then the machine was
too busy for the figures to mean much.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from bench.figures import Figure, over_runs, percentile, percentile_over_runs
from bench.ports import free_port
from bench.raw_http import RawServer, answer
from bench.service import Bystanders, Service, running_service
from bench.submitter import Submitter, at_a_rate
from bench.throughput import running_target

CONNECTIONS = 16
WARM_UP_JOBS = 300
WEBHOOK_WITHIN_S = 60.0
SHARES = (0.5, 0.99)
REQUIRED = {"ack p50": 10.0, "ack p99": 50.0, "unloaded p50": 25.0}


@dataclass(slots=True)
class Run:
    """One run's times, in ms. ``late_ms``: how far the load itself lagged behind its plan."""

    unloaded_ms: list[float] = field(default_factory=list)
    ack_ms: list[float] = field(default_factory=list)
    told_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    others_cores: float = 0.0


Runs = list[Run]


class Client:
    """Submits jobs over kept connections, and receives their webhooks."""

    def __init__(self, service: Service, target_port: int) -> None:
        self._submitter = Submitter(service)
        self._target = f"http://127.0.0.1:{target_port}/charge"
        self._receiver_port = free_port()
        self._arrivals: dict[str, asyncio.Future[float]] = {}
        self._jobs = 0

    async def open(self) -> None:
        """Connect, and listen for webhooks."""
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: RawServer(self._received), "127.0.0.1", self._receiver_port)
        await self._submitter.open(CONNECTIONS)

    async def job(self) -> tuple[float, float]:
        """Run a job; give the ms until it was acknowledged, and until its webhook came."""
        self._jobs += 1
        key = f"latency-{self._jobs}"
        arrival = self._arrivals[key] = asyncio.get_running_loop().create_future()
        sent = time.perf_counter()
        await self._submitter.submit(self._job(key))
        acknowledged = time.perf_counter()
        told = await asyncio.wait_for(arrival, WEBHOOK_WITHIN_S)
        return (acknowledged - sent) * 1000, (told - sent) * 1000

    def _job(self, key: str) -> dict[str, Any]:
        return {
            "url": self._target,
            "method": "POST",
            "body": '{"amount":1000}',
            "idempotent_key": key,
            "webhooks": [{"url": f"http://127.0.0.1:{self._receiver_port}/hook"}],
        }

    def _received(self, _head: bytes, body: bytes) -> bytes:
        arrival = self._arrivals.pop(json.loads(body)["idempotent_key"], None)
        if arrival is not None:
            arrival.set_result(time.perf_counter())
        return _ACCEPTED


async def one_by_one(client: Client, jobs: int) -> list[float]:
    """Run jobs, each after the webhook of the one before; give the ms from submission to webhook."""
    return [(await client.job())[1] for _ in range(jobs)]


async def measure(services: Sequence[Service], target_port: int, options: argparse.Namespace) -> list[Runs]:
    """Make all runs of each service, in turns: who goes first alternates."""
    clients = [await warm_client(service, target_port) for service in services]
    runs: list[Runs] = [[] for _ in clients]
    for number in range(options.runs):
        turns = list(zip(clients, runs, strict=True))
        for client, made in reversed(turns) if number % 2 else turns:
            made.append(await one_run(client, options))
    return runs


async def warm_client(service: Service, target_port: int) -> Client:
    """Connect to a service, and run its first jobs."""
    client = Client(service, target_port)
    await client.open()
    await one_by_one(client, WARM_UP_JOBS)
    return client


async def one_run(client: Client, options: argparse.Namespace) -> Run:
    """Make one run of a service."""
    others = Bystanders()
    run = Run(unloaded_ms=await one_by_one(client, options.jobs))
    jobs = int(options.rate * options.seconds)
    times, run.late_ms = await at_a_rate(jobs, options.rate, lambda _: client.job())
    run.ack_ms = [ack_ms for ack_ms, _ in times]
    run.told_ms = [told_ms for _, told_ms in times]
    run.others_cores = others.cores()
    return run


def rows_of(runs: Runs, rate: float) -> dict[str, list[list[float]]]:
    """Name what was measured: the values of each run, in ms."""
    return {
        "unloaded, one job at a time: submit to webhook": [run.unloaded_ms for run in runs],
        f"at {rate:g} jobs/s: acknowledgement": [run.ack_ms for run in runs],
        f"at {rate:g} jobs/s: submit to webhook": [run.told_ms for run in runs],
        f"at {rate:g} jobs/s: how late the load itself was": [run.late_ms for run in runs],
    }


def show(runs: Runs, rate: float) -> str:
    """Write down what the runs found."""
    lines = [f"{'ms: median of the runs (least to most)':52}{'p50':>24}{'p99':>24}"]
    for name, values in rows_of(runs, rate).items():
        p50, p99 = (str(percentile_over_runs(values, share)) for share in SHARES)
        lines.append(f"{name:52}{p50:>24}{p99:>24}")
    required = ", ".join(f"{name} at most {most:g}" for name, most in REQUIRED.items())
    others = over_runs([run.others_cores for run in runs])
    return "\n".join([*lines, f"required, ms: {required}", f"cores that others used meanwhile: {others}"])


def show_beside(runs: Runs, beside: Runs, rate: float) -> str:
    """Write down how many times as long everything took as at the other service, pair by pair."""
    lines = [f"{'times the other: median of the pairs (least to most)':52}{'p50':>24}{'p99':>24}"]
    theirs = rows_of(beside, rate)
    for name, values in rows_of(runs, rate).items():
        p50, p99 = (f"{ratio_over_pairs(values, theirs[name], share):.3f}" for share in SHARES)
        lines.append(f"{name:52}{p50:>24}{p99:>24}")
    return "\n".join(lines)


def ratio_over_pairs(ours: list[list[float]], theirs: list[list[float]], share: float) -> Figure:
    """Sum up, over pairs of runs, one percentile as a share of the other's."""
    pairs = zip(ours, theirs, strict=True)
    return over_runs([percentile(mine, share) / percentile(other, share) for mine, other in pairs])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=300, help="jobs a run, one at a time")
    parser.add_argument("--rate", type=float, default=200.0, help="jobs a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long at that rate, a run")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="compare with this one's service")
    parser.add_argument("--json", type=Path, help="write the runs here")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        target_port = stack.enter_context(running_target())
        services = [
            stack.enter_context(running_service("--allow-private-targets", checkout=checkout))
            for checkout in ([None, options.beside] if options.beside else [None])
        ]
        runs, *beside = uvloop.run(measure(services, target_port, options))
    print(show(runs, options.rate))
    for other in beside:
        print(f"\nbeside it, {options.beside}:\n{show(other, options.rate)}")
        print(f"\n{show_beside(runs, other, options.rate)}")
    if options.json:
        made = [[asdict(run) for run in one] for one in (runs, *beside)]
        options.json.write_text(json.dumps(made, indent=1))


_ACCEPTED = answer("200 OK")

if __name__ == "__main__":
    main()
