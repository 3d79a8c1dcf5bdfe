"""Latency of the whole path: from submission to webhook with nothing else to do, and of the acknowledgement
at a steady rate.

At the steady rate jobs are sent when they are due, however slow the answers are: a service that stalls
can't hide it by holding up its own load. How late they were sent is shown too, for then the machine was
too busy for the figures to mean much.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from bench.figures import over_runs, percentile_over_runs
from bench.ports import free_port
from bench.raw_http import RawServer, answer
from bench.service import Bystanders, Service, running_service
from bench.submitter import Submitter, at_a_rate
from bench.throughput import running_target

CONNECTIONS = 16
WARM_UP_JOBS = 300
WEBHOOK_WITHIN_S = 60.0
REQUIRED = {"ack p50": 10.0, "ack p99": 50.0, "unloaded p50": 25.0}


@dataclass(slots=True)
class Run:
    """One run's times, in ms. ``late_ms``: how far the load itself lagged behind its plan."""

    unloaded_ms: list[float] = field(default_factory=list)
    ack_ms: list[float] = field(default_factory=list)
    told_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    others_cores: float = 0.0


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


async def measure(service: Service, target_port: int, options: argparse.Namespace) -> list[Run]:
    """Make all runs."""
    client = Client(service, target_port)
    await client.open()
    await one_by_one(client, WARM_UP_JOBS)
    runs = []
    for _ in range(options.runs):
        others = Bystanders()
        run = Run(unloaded_ms=await one_by_one(client, options.jobs))
        jobs = int(options.rate * options.seconds)
        times, run.late_ms = await at_a_rate(jobs, options.rate, lambda _: client.job())
        run.ack_ms = [ack_ms for ack_ms, _ in times]
        run.told_ms = [told_ms for _, told_ms in times]
        run.others_cores = others.cores()
        runs.append(run)
    return runs


def show(runs: Sequence[Run], rate: float) -> str:
    """Write down what the runs found."""
    rows = {
        "unloaded, one job at a time: submit to webhook": [run.unloaded_ms for run in runs],
        f"at {rate:g} jobs/s: acknowledgement": [run.ack_ms for run in runs],
        f"at {rate:g} jobs/s: submit to webhook": [run.told_ms for run in runs],
        f"at {rate:g} jobs/s: how late the load itself was": [run.late_ms for run in runs],
    }
    lines = [f"{'ms: median of the runs (least to most)':52}{'p50':>24}{'p99':>24}"]
    for name, values in rows.items():
        p50, p99 = (str(percentile_over_runs(values, share)) for share in (0.5, 0.99))
        lines.append(f"{name:52}{p50:>24}{p99:>24}")
    required = ", ".join(f"{name} at most {most:g}" for name, most in REQUIRED.items())
    others = over_runs([run.others_cores for run in runs])
    return "\n".join([*lines, f"required, ms: {required}", f"cores that others used meanwhile: {others}"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=300, help="jobs a run, one at a time")
    parser.add_argument("--rate", type=float, default=200.0, help="jobs a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long at that rate, a run")
    parser.add_argument("--json", type=Path, help="write the runs here")
    options = parser.parse_args()
    with running_target() as target_port, running_service("--allow-private-targets") as service:
        runs = uvloop.run(measure(service, target_port, options))
    print(show(runs, options.rate))
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))


_ACCEPTED = answer("200 OK")

if __name__ == "__main__":
    main()
