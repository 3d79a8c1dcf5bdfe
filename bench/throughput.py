"""The whole path under load, beside the raw floor in the same run.

Submit, target, signed webhook: real processes on loopback, the load generator and the target on the
same cores. Rounds alternate with the floor, so that a noisy machine is noisy for both.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.raw_http import RawServer, answer
from bench.service import Service, free_port, running_service
from bench.submitter import Submitter, sign_webhooks

WARM_UP_JOBS = 1_000
SHOWN_MS = 0.01
SECRET = "a secret of thirty-two characters"


@dataclass(slots=True)
class Round:
    """One round of the whole path. Times are seconds, latencies ms."""

    jobs_per_s: float
    cpu_ms_per_job: float
    ack_p50_ms: float
    ack_p99_ms: float
    done_p50_ms: float
    done_p99_ms: float
    cpu_ms_by_process: dict[str, float]
    floor_jobs_per_s: float = 0.0
    floor_cpu_ms_per_job: float = 0.0

    @property
    def ratio(self) -> float:
        """Rate of the whole path, as a share of the floor's."""
        return self.jobs_per_s / self.floor_jobs_per_s


class Load:
    """Submits jobs, receives their webhooks, and times both."""

    def __init__(self, service: Service, target_port: int, receiver_port: int) -> None:
        self.submitter = Submitter(service)
        self._target = f"http://127.0.0.1:{target_port}/charge"
        self._receiver = f"http://127.0.0.1:{receiver_port}/hook"
        self._submitted: dict[str, float] = {}
        self._arrived: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._sequence = 0
        self.ack_ms: list[float] = []
        self.done_ms: list[float] = []

    def received(self, _head: bytes, body: bytes) -> bytes:
        """Take a webhook."""
        job_id = json.loads(body)["job_id"]
        self._arrived[job_id] = time.perf_counter()
        if (event := self._waiting.get(job_id)) is not None:
            event.set()
        return _ACCEPTED

    async def job(self) -> None:
        """Submit one job and wait for its webhook."""
        self._sequence += 1
        job = {
            "url": self._target,
            "method": "POST",
            "body": '{"amount":1000}',
            "idempotent_key": f"bench-{self._sequence}",
            "webhooks": [{"url": self._receiver}],
        }
        began = time.perf_counter()
        job_id = await self.submitter.submit(job)
        acknowledged = time.perf_counter()
        await self._arrival(job_id)
        self.ack_ms.append((acknowledged - began) * 1000)
        self.done_ms.append((time.perf_counter() - began) * 1000)

    async def _arrival(self, job_id: str) -> None:
        if job_id not in self._arrived:
            event = self._waiting[job_id] = asyncio.Event()
            await asyncio.wait_for(event.wait(), 60)
            del self._waiting[job_id]
        del self._arrived[job_id]

    async def run(self, jobs: int, in_flight: int) -> float:
        """Run so many jobs, so many at once; give the seconds it took."""
        numbers = iter(range(jobs))

        async def work() -> None:
            for _ in numbers:
                await self.job()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return time.perf_counter() - began


async def measure(load: Load, service: Service, jobs: int, in_flight: int) -> Round:
    """Run one round of the whole path."""
    load.ack_ms.clear()
    load.done_ms.clear()
    before = service.cpu_by_process()
    took = await load.run(jobs, in_flight)
    spent = {name: used - before.get(name, 0.0) for name, used in service.cpu_by_process().items()}
    by_process = {name: used / jobs * 1000 for name, used in spent.items() if used > 0}
    ack, done = statistics.quantiles(load.ack_ms, n=100), statistics.quantiles(load.done_ms, n=100)
    return Round(jobs / took, sum(by_process.values()), ack[49], ack[98], done[49], done[98], by_process)


async def floor(target_port: int, receiver_port: int, jobs: int, in_flight: int) -> tuple[float, float]:
    """Run the raw floor beside it: jobs per second, and CPU ms per job."""
    urls = (f"http://127.0.0.1:{target_port}/charge", f"http://127.0.0.1:{receiver_port}/hook")
    command = (sys.executable, "-m", "bench.floor", *urls, str(jobs), str(in_flight))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    result = json.loads(output)
    return jobs / result["seconds"], result["cpu_s"] / jobs * 1000


@contextlib.contextmanager
def running_target() -> Iterator[int]:
    """Run the fast target in a process of its own; give its port."""
    port = free_port()
    process = subprocess.Popen((sys.executable, "-m", "bench.target", str(port)))
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


async def compare(service: Service, target_port: int, options: argparse.Namespace) -> list[Round]:
    """Alternate rounds of the whole path and of the floor."""
    loop = asyncio.get_running_loop()
    receiver_port = free_port()
    load = Load(service, target_port, receiver_port)
    server = await loop.create_server(lambda: RawServer(load.received), "127.0.0.1", receiver_port)
    # The floor has as many connections: one a job in flight.
    await load.submitter.open(options.in_flight)
    await load.run(WARM_UP_JOBS, options.in_flight)
    rounds = []
    for _ in range(options.rounds):
        rounds.append(await measure(load, service, options.jobs, options.in_flight))
        rate, cpu_ms = await floor(target_port, receiver_port, options.jobs, options.in_flight)
        rounds[-1].floor_jobs_per_s, rounds[-1].floor_cpu_ms_per_job = rate, cpu_ms
        print(show(rounds[-1]), flush=True)
    load.submitter.close()
    server.close()
    return rounds


def show(round_: Round) -> str:
    """Write one round for people."""
    return (
        f"{round_.jobs_per_s:7.0f} jobs/s  {round_.cpu_ms_per_job:5.2f} ms CPU/job"
        f"  ack p50 {round_.ack_p50_ms:5.1f} p99 {round_.ack_p99_ms:6.1f} ms"
        f"  webhook p50 {round_.done_p50_ms:6.1f} p99 {round_.done_p99_ms:6.1f} ms"
        f"  | floor {round_.floor_jobs_per_s:6.0f} jobs/s  ratio {round_.ratio:.3f}"
    )


def main() -> None:
    """Run the benchmark and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000, help="jobs a round")
    parser.add_argument("--in-flight", type=int, default=200, help="jobs at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rounds here")
    options = parser.parse_args()
    with running_target() as target_port, running_service("--allow-private-targets") as service:
        sign_webhooks(service, SECRET)
        print(f"ready after {service.ready_after_s:.1f} s; {options.in_flight} jobs in flight")
        rounds = uvloop.run(compare(service, target_port, options))
    ratios = sorted(round_.ratio for round_ in rounds)
    rates = sorted(round_.jobs_per_s for round_ in rounds)
    cpu = sorted(round_.cpu_ms_per_job for round_ in rounds)
    print(f"ratio to the floor: median {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
    print(f"jobs/s: median {statistics.median(rates):.0f} ({rates[0]:.0f} to {rates[-1]:.0f})")
    print(
        f"CPU ms per job, all processes: median {statistics.median(cpu):.2f} ({cpu[0]:.2f} to {cpu[-1]:.2f})"
    )
    last = sorted(rounds[-1].cpu_ms_by_process.items(), key=lambda item: -item[1])
    print("in the last round: " + ", ".join(f"{name} {used:.2f}" for name, used in last if used >= SHOWN_MS))
    if options.json:
        options.json.write_text(json.dumps([asdict(round_) for round_ in rounds], indent=1))


_ACCEPTED = answer("200 OK")

if __name__ == "__main__":
    main()
