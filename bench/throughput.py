"""The whole path under load, beside the raw floor in the same run.

Submit, target, signed webhook: real processes on loopback, the load generator and the target on the
same cores. Rounds alternate with the floor, so that a noisy machine is noisy for both; and with the service
of another checkout (`--beside`), to see what a change costs or gains, with one whose region is an agent
behind TLS (`--agents`), or with the same one without races (`--racing 0.2`: one job in five races).
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.agents import Gate, end
from bench.figures import over_runs
from bench.ports import free_port
from bench.raw_http import RawServer, answer
from bench.service import Service, running_service
from bench.submitter import Submitter, sign_webhooks
from tests.support.certificates import Certificate

WARM_UP_JOBS = 1_000
SHOWN_MS = 0.01
RACED = ["iad", "lax", "ord"]
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
    beside_jobs_per_s: float | None = None

    @property
    def ratio(self) -> float:
        """Rate of the whole path, as a share of the floor's."""
        return self.jobs_per_s / self.floor_jobs_per_s


class Load:
    """Submits jobs, receives their webhooks, and times both."""

    def __init__(self, service: Service, target_port: int, receiver_port: int, racing: float = 0.0) -> None:
        self._racing = racing
        self.submitter = Submitter(service)
        self._target = f"http://127.0.0.1:{target_port}/charge"
        self.receiver_port = receiver_port
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
            "idempotent_key": f"bench-{self.receiver_port}-{self._sequence}",
            "webhooks": [{"url": self._receiver}],
            **({"regions": RACED} if self._races() else {}),
        }
        began = time.perf_counter()
        job_id = await self.submitter.submit(job)
        acknowledged = time.perf_counter()
        await self._arrival(job_id)
        self.ack_ms.append((acknowledged - began) * 1000)
        self.done_ms.append((time.perf_counter() - began) * 1000)

    def _races(self) -> bool:
        """Whether the job of this number does: so many of them as are to."""
        return int(self._sequence * self._racing) > int((self._sequence - 1) * self._racing)

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


async def compare(
    service: Service, beside: Service | None, target_port: int, options: argparse.Namespace
) -> list[Round]:
    """Alternate rounds of the whole path, of the floor, and of the service to compare with."""
    async with contextlib.AsyncExitStack() as stack:
        load = await stack.enter_async_context(
            warm_load(service, target_port, options.in_flight, options.racing)
        )
        other = (
            await stack.enter_async_context(warm_load(beside, target_port, options.in_flight))
            if beside
            else None
        )
        rounds = []
        for number in range(options.rounds):
            rounds.append(await one_round(load, other, service, target_port, options, late=bool(number % 2)))
            print(show(rounds[-1]), flush=True)
        return rounds


async def one_round(
    load: Load,
    other: Load | None,
    service: Service,
    target_port: int,
    options: argparse.Namespace,
    *,
    late: bool,
) -> Round:
    """Run one round of each. Who goes first alternates (``late``: the other does): whoever follows a full
    load has what that left behind beside it.
    """
    earlier = await rate_beside(other, options) if late else None
    round_ = await measure(load, service, options.jobs, options.in_flight)
    rate, cpu_ms = await floor(target_port, load.receiver_port, options.jobs, options.in_flight)
    round_.floor_jobs_per_s, round_.floor_cpu_ms_per_job = rate, cpu_ms
    round_.beside_jobs_per_s = earlier if late else await rate_beside(other, options)
    return round_


async def rate_beside(other: Load | None, options: argparse.Namespace) -> float | None:
    """Give the rate of the service to compare with, where there is one."""
    return None if other is None else options.jobs / await other.run(options.jobs, options.in_flight)


@contextlib.asynccontextmanager
async def warm_load(
    service: Service, target_port: int, in_flight: int, racing: float = 0.0
) -> AsyncIterator[Load]:
    """Connect to a service, listen for its webhooks, and run its first jobs."""
    load = Load(service, target_port, free_port(), racing)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: RawServer(load.received), "127.0.0.1", load.receiver_port)
    # The floor has as many connections: one a job in flight.
    await load.submitter.open(in_flight)
    await load.run(WARM_UP_JOBS, in_flight)
    try:
        yield load
    finally:
        load.submitter.close()
        server.close()


def show(round_: Round) -> str:
    """Write one round for people."""
    return (
        f"{round_.jobs_per_s:7.0f} jobs/s  {round_.cpu_ms_per_job:5.2f} ms CPU/job"
        f"  ack p50 {round_.ack_p50_ms:5.1f} p99 {round_.ack_p99_ms:6.1f} ms"
        f"  webhook p50 {round_.done_p50_ms:6.1f} p99 {round_.done_p99_ms:6.1f} ms"
        f"  | floor {round_.floor_jobs_per_s:6.0f} jobs/s  ratio {round_.ratio:.3f}"
        + ("" if round_.beside_jobs_per_s is None else f"  | beside {round_.beside_jobs_per_s:6.0f} jobs/s")
    )


def summary(rounds: Sequence[Round]) -> str:
    """Write down the medians of all rounds, and their spread."""
    rows = {
        "ratio to the floor": f"{over_runs([round_.ratio for round_ in rounds]):.3f}",
        "jobs/s": f"{over_runs([round_.jobs_per_s for round_ in rounds]):.0f}",
        "CPU ms per job, all processes": f"{over_runs([round_.cpu_ms_per_job for round_ in rounds]):.2f}",
    }
    ratios = [round_.jobs_per_s / round_.beside_jobs_per_s for round_ in rounds if round_.beside_jobs_per_s]
    if ratios:
        rows["ratio to the service beside it"] = f"{over_runs(ratios):.3f}"
    last = sorted(rounds[-1].cpu_ms_by_process.items(), key=lambda item: -item[1])
    rows["in the last round"] = ", ".join(f"{name} {used:.2f}" for name, used in last if used >= SHOWN_MS)
    return "\n".join(f"{name}: {value}" for name, value in rows.items())


def main() -> None:
    """Run the benchmark and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000, help="jobs a round")
    parser.add_argument("--in-flight", type=int, default=200, help="jobs at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="compare with this one's service")
    parser.add_argument("--agents", action="store_true", help="compare with a region agent over TLS")
    parser.add_argument(
        "--racing", type=float, default=0.0, help="share of jobs that race over three regions"
    )
    parser.add_argument("--json", type=Path, help="write the rounds here")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        target_port = stack.enter_context(running_target())
        service = stack.enter_context(signed_service())
        other = stack.enter_context(compared_with(options, service))
        print(f"ready after {service.ready_after_s:.1f} s; {options.in_flight} jobs in flight")
        rounds = uvloop.run(compare(service, other, target_port, options))
    print(summary(rounds))
    if options.json:
        options.json.write_text(json.dumps([asdict(round_) for round_ in rounds], indent=1))


def compared_with(
    options: argparse.Namespace, service: Service
) -> contextlib.AbstractContextManager[Service | None]:
    """Run the service that is measured beside: another, the same without races, or none."""
    if options.agents:
        return service_of_an_agent()
    if options.beside:
        return signed_service(options.beside)
    return contextlib.nullcontext(service if options.racing else None)


@contextlib.contextmanager
def service_of_an_agent() -> Iterator[Service]:
    """Run a service whose one region is an agent, over TLS, as on another machine that is not far."""
    with tempfile.TemporaryDirectory(prefix="ezthrottle-") as directory:
        data_dir = Path(directory)
        gate = Gate.make(data_dir, Certificate.made().write(data_dir))
        agent = gate.start("iad", gate.token("iad")[1])
        try:
            options = ("--allow-private-targets", "--regions", "", *gate.options)
            with running_service(*options, data_dir=data_dir) as service:
                sign_webhooks(service, SECRET)
                yield service
        finally:
            end(agent)


@contextlib.contextmanager
def signed_service(checkout: Path | None = None) -> Iterator[Service]:
    """Run a service that signs its webhooks."""
    with running_service("--allow-private-targets", checkout=checkout) as service:
        sign_webhooks(service, SECRET)
        yield service


_ACCEPTED = answer("200 OK")

if __name__ == "__main__":
    main()
