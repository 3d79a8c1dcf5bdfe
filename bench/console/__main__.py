"""What the console costs over a million jobs and ten thousand targets: `make bench-console`.

Every page is loaded again and again, first while nothing else runs, then while jobs do, in the same run; the
p99 of a page has to stay within 150 ms, and within three times that under load, its size within 200 kB. Then
rounds of the whole path (submit, target, signed webhook) with somebody at the console alternate with rounds
without: the median of the ratios has to be 0.95 or more.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import uvloop

from bench.console.filling import fill
from bench.figures import over_runs, percentile
from bench.raw_http import RawServer
from bench.service import NO_TLS, Bystanders, Service, create_key, running_service
from bench.submitter import at_a_rate, sign_webhooks
from bench.throughput import SECRET, WARM_UP_JOBS, Load, running_target

P99_MOST_MS = 150.0
LOADED_TIMES = 3.0
BYTES_MOST = 200_000
RATIO_LEAST = 0.95
SETTLES_S = 3.0
"""After a start: what it found on disk is taken up."""


@dataclass(slots=True, kw_only=True)
class Found:
    """All figures of a run. Times are ms, rates jobs per second; ``pairs`` are rates with and without."""

    jobs: int
    domains: int
    rate: float
    filled_s: float = 0.0
    ready_after_s: float = 0.0
    unloaded_ms: dict[str, list[float]] = field(default_factory=dict)
    loaded_ms: dict[str, list[float]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    reached_per_s: float = 0.0
    late_p99_ms: float = 0.0
    pairs: list[tuple[float, float]] = field(default_factory=list)
    others_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What somebody measured who loaded pages: the ms of each time, and the bytes of the last, by page."""

    took_ms: dict[str, list[float]]
    sizes: dict[str, int]


class Viewers:
    """Starts people at the console of a service, each in a process of its own."""

    def __init__(self, service: Service, key: str) -> None:
        job = _one_that_waits(service, key)
        self._command = (sys.executable, "-m", "bench.console.viewer")
        self._given = (service.base_url, key, job["job_id"], job["domain"])

    async def measure(self, rounds: int) -> Looked:
        """Have each page loaded so often; give the times and sizes."""
        async with self._started("measure", "--rounds", str(rounds)) as process:
            output, _ = await process.communicate()
        return Looked(**json.loads(output))

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Have somebody at the console until the block ends."""
        async with self._started("watch"):
            yield

    @contextlib.asynccontextmanager
    async def _started(self, what: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        command = (*self._command, what, *self._given, *options)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        try:
            if process.stdout is None or await process.stdout.readline() != b"here\n":
                raise RuntimeError("nobody could sign in")
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _one_that_waits(service: Service, key: str) -> dict[str, str]:
    answer = httpx.get(
        f"{service.base_url}/api/v1/admin/jobs?state=queued&limit=1",
        headers={"Authorization": f"Bearer {key}"},
        verify=NO_TLS,
    )
    job: dict[str, str] = answer.raise_for_status().json()["jobs"][0]
    return job


@contextlib.asynccontextmanager
async def warm(service: Service, target_port: int, in_flight: int) -> AsyncIterator[Load]:
    """Open a load's connections, and run some jobs that count for nothing."""
    loop = asyncio.get_running_loop()
    loads: list[Load] = []
    server = await loop.create_server(lambda: RawServer(loads[0].received), "127.0.0.1", 0)
    loads.append(Load(service, target_port, server.sockets[0].getsockname()[1]))
    await loads[0].submitter.open(in_flight)
    await loads[0].run(WARM_UP_JOBS, in_flight)
    yield loads[0]
    loads[0].submitter.close()
    server.close()


async def measure(service: Service, target_port: int, options: argparse.Namespace, found: Found) -> None:
    """Measure the pages without and with load, and the load without and with somebody who looks."""
    viewers, others = (
        Viewers(service, create_key(service.data_dir, "operators", None, "--role", "admin")),
        Bystanders(),
    )
    await asyncio.sleep(SETTLES_S)
    alone = await viewers.measure(options.rounds)
    found.unloaded_ms, found.sizes = alone.took_ms, alone.sizes
    async with warm(service, target_port, options.in_flight) as load:
        await _under_load(viewers, load, options, found)
        for number in range(options.pairs):
            found.pairs.append(await _pair(viewers, load, options, watched_first=bool(number % 2)))
    found.others_cores = others.cores()


async def _under_load(viewers: Viewers, load: Load, options: argparse.Namespace, found: Found) -> None:
    looking = asyncio.ensure_future(viewers.measure(options.rounds))
    late_ms: list[float] = []
    began, jobs = asyncio.get_running_loop().time(), 0
    while not looking.done():
        _, late = await at_a_rate(int(options.rate), options.rate, lambda _: load.job())
        late_ms, jobs = late_ms + late, jobs + len(late)
    found.reached_per_s = jobs / (asyncio.get_running_loop().time() - began)
    found.late_p99_ms = percentile(late_ms, 0.99)
    found.loaded_ms = (await looking).took_ms


async def _pair(
    viewers: Viewers, load: Load, options: argparse.Namespace, *, watched_first: bool
) -> tuple[float, float]:
    """Run a round with somebody at the console and one without; give their rates in that order."""

    async def watched() -> float:
        async with viewers.watching():
            return await alone()

    async def alone() -> float:
        return float(options.jobs_a_round / await load.run(options.jobs_a_round, options.in_flight))

    if watched_first:
        return await watched(), await alone()
    without = await alone()
    return await watched(), without


def show(found: Found) -> str:
    """Write down what was found, a line for each page."""
    lines = [f"{'':32}{'p50':>8}{'p99':>8}{'loaded p50':>12}{'p99':>8}{'kB':>8}"]
    for name, times in found.unloaded_ms.items():
        loaded = found.loaded_ms.get(name, [])
        figures = [percentile(values, share) for values in (times, loaded) for share in (0.5, 0.99)]
        p50, p99, loaded_p50, loaded_p99 = figures
        lines.append(
            f"{name:32}{p50:8.1f}{p99:8.1f}{loaded_p50:12.1f}{loaded_p99:8.1f}{found.sizes[name] / 1000:8.1f}"
        )
    return "\n".join([*lines, *_notes(found)])


def _notes(found: Found) -> Iterator[str]:
    yield f"ms: {found.jobs:,} jobs, {found.domains:,} targets; ready after {found.ready_after_s:.1f} s"
    yield f"required: p99 {P99_MOST_MS:g} ms, {LOADED_TIMES:g} times that loaded, {BYTES_MOST / 1000:g} kB"
    yield f"loaded: {found.reached_per_s:.0f} jobs/s of {found.rate:g}, {found.late_p99_ms:.0f} ms late (p99)"
    if found.pairs:
        ratios = over_runs([watched / alone for watched, alone in found.pairs])
        yield f"throughput with the console open, of that without: {ratios:.2f} in {len(found.pairs)} pairs"
        yield f"required: {RATIO_LEAST:g}"
    yield f"cores that others used meanwhile: {found.others_cores:.1f}"


@contextlib.contextmanager
def directory_of(options: argparse.Namespace) -> Iterator[Path]:
    """Give the data directory: a filled one that is named and kept, or one that is thrown away."""
    if options.data_dir:
        yield options.data_dir
    else:
        with tempfile.TemporaryDirectory(prefix="ezthrottle-") as made:
            yield Path(made)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100, help="how often each page is loaded")
    parser.add_argument("--rate", type=float, default=500.0, help="jobs a second while pages are loaded")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--jobs-a-round", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--data-dir", type=Path, help="one that is filled already, or is to be kept")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    found = Found(jobs=options.jobs, domains=options.domains, rate=options.rate)
    with directory_of(options) as data_dir, running_target() as target_port:
        if not (data_dir / "ezthrottle.db").exists():
            found.filled_s = asyncio.run(fill(data_dir, options.jobs, options.domains))
            print(f"filled in {found.filled_s:.0f} s")
        with running_service("--allow-private-targets", data_dir=data_dir) as service:
            sign_webhooks(service, SECRET)
            found.ready_after_s = service.ready_after_s
            uvloop.run(measure(service, target_port, options, found))
    print(show(found))
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1))


if __name__ == "__main__":
    main()
