"""Races of three over agents 30 to 60 ms apart, beside an echo over the same paths, in turns, in one run.

``python -m bench.far_races`` makes a testbed (root, /dev/net/tun). From a machine outside, one at a time: a
race, from submission to webhook, and what bare TCP takes for the same way (`bench/testbed/echo.py`): to the
service's machine, on to all regions, to the target, and back. The target answers the region that was drawn
to win, and would hold the two others for half a minute; it writes down when their connections close.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import over_runs, percentile, percentile_over_runs
from bench.raw_http import RawClient, RawServer, answer, post
from bench.service import Bystanders
from bench.testbed.agents import Agents
from bench.testbed.bed import Testbed, running_testbed
from bench.testbed.namespaces import why_not
from bench.testbed.service import API_PORT, REGIONS, TARGET_PORT, OutsideTarget, until

WINS_AFTER_S, HELD_S = 0.05, 30.0
GENEROUS_RPS = 100_000
"""The last of three legs would wait 2 ms for its turn at the testbed's usual 1,000."""
RELAY_PORT, FRONT_PORT, HOOK_PORT = 9100, 9101, 9102
WITHIN_S = 30.0
WARM_UP_PAIRS = 20
SHARES = (0.5, 0.99)
REQUIRED_P50_MS, REQUIRED_P99_MS, REQUIRED_CLOSED_MS = 5.0, 15.0, 20.0


class Sample(msgspec.Struct, frozen=True):
    """One race, or one echo: how long it took, and how long losers outlived the winner's answer, ms."""

    winner: str
    ms: float
    closed_ms: dict[str, float]


class Run(msgspec.Struct, frozen=True):
    """Both, in turns. ``others_cores``: what else the machine did meanwhile."""

    races: list[Sample]
    echoes: list[Sample]
    others_cores: float

    def above(self, share: float) -> float:
        """Say how much more a race takes than an echo, at a percentile (ms)."""
        race, echo = ([each.ms for each in some] for some in (self.races, self.echoes))
        return percentile(race, share) - percentile(echo, share)

    def closed_above(self) -> list[float]:
        """List how much later losers were closed than the echo's, by its median for the same two regions."""
        paths: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for each in self.echoes:
            for loser, ms in each.closed_ms.items():
                paths[each.winner, loser].append(ms)
        return [
            ms - statistics.median(paths[each.winner, loser])
            for each in self.races
            for loser, ms in each.closed_ms.items()
        ]


class Client:
    """Submits, asks the echo, and takes webhooks; to be used on the machine outside."""

    def __init__(self, bed: Testbed, api_key: str, target: OutsideTarget) -> None:
        self._hub, self._net = bed["hub"].address, bed["net"].address
        self._headers = f"Authorization: Bearer {api_key}\r\n"
        self._target = target
        self._arrived: defaultdict[str, asyncio.Future[float]] = defaultdict(
            asyncio.get_running_loop().create_future
        )
        self._numbers = itertools.count(1)
        self._http: RawClient
        self._echo: tuple[asyncio.StreamReader, asyncio.StreamWriter]

    async def open(self) -> None:
        """Connect to both, and listen."""
        loop = asyncio.get_running_loop()
        _, self._http = await loop.create_connection(RawClient, self._hub, API_PORT)
        self._echo = await asyncio.open_connection(self._hub, FRONT_PORT)
        self._hooks = await loop.create_server(lambda: RawServer(self._received), self._net, HOOK_PORT)

    def close(self) -> None:
        """Hang up."""
        self._http.close()
        self._echo[1].close()
        self._hooks.close()

    async def race(self, path: str) -> tuple[str, float]:
        """Race a job over all regions; give its id, and the ms until its webhook came."""
        job = {
            "url": self._target.url + path,
            "regions": REGIONS,
            "idempotent_key": f"race-{next(self._numbers)}",
            "webhooks": [{"url": f"http://{self._net}:{HOOK_PORT}/hook"}],
        }
        began = time.monotonic()
        _, body = await self._http.request(post("/api/v1/jobs", json.dumps(job).encode(), self._headers))
        name: str = json.loads(body)["job_id"]
        arrived = await asyncio.wait_for(self._arrived[name], WITHIN_S)
        return name, _ms(began, arrived)

    async def echo(self, path: str) -> tuple[str, float]:
        """Ask the echo for the same; give the name that it bears, and the ms until it was back."""
        reader, writer = self._echo
        name = f"echo-{next(self._numbers)}"
        began = time.monotonic()
        writer.write(f"{name} {path}\n".encode())
        await asyncio.wait_for(reader.readline(), WITHIN_S)
        return name, _ms(began, time.monotonic())

    def _received(self, _head: bytes, body: bytes) -> bytes:
        arrived = self._arrived[json.loads(body)["job_id"]]
        if not arrived.done():
            arrived.set_result(time.monotonic())
        return _ACCEPTED


Ask = Callable[[str], Coroutine[Any, Any, tuple[str, float]]]


class Track:
    """Where both are run.

    Args:
        client: What asks, on the machine outside.
        target: What answers there.
        seed: Draws who wins.
    """

    def __init__(self, client: Client, target: OutsideTarget, seed: int) -> None:
        self._client = client
        self._target = target
        self._random = random.Random(seed)

    async def run(self, pairs: int) -> Run:
        """Play so many races, and as many echoes; who goes first alternates."""
        began, others = time.time(), Bystanders()
        asked: dict[Ask, list[tuple[str, str, float]]] = {self._client.race: [], self._client.echo: []}
        for number in range(pairs):
            winner = self._random.choice(REGIONS)
            path = f"/race?rps={GENEROUS_RPS}&after={HELD_S}&after_{winner}={WINS_AFTER_S}"
            for ask in list(asked)[:: -1 if number % 2 else 1]:
                asked[ask].append((winner, *await ask(path)))
        cores = others.cores()
        closed = await self._closed(began)
        races, echoes = (
            [Sample(winner, ms, closed[name]) for winner, name, ms in some] for some in asked.values()
        )
        return Run(races, echoes, cores)

    async def _closed(self, since: float) -> dict[str, dict[str, float]]:
        """Tell for each name when its losers were closed, once all have been."""
        await asyncio.to_thread(until, lambda: self._rests(since), WITHIN_S, "every loser closed")
        won = {event.job: event.at for event in self._target.events("answered", since)}
        closed: dict[str, dict[str, float]] = {name: {} for name in won}
        for event in self._target.events("closed", since):
            closed[event.job][event.region] = _ms(won[event.job], event.at)
        return closed

    def _rests(self, since: float) -> bool:
        begun, answered, closed = (
            len(self._target.events(what, since)) for what in ("request", "answered", "closed")
        )
        return begun == answered + closed

    def most_requests_per_leg(self) -> int:
        """Say how many requests one region sent for one race at most."""
        legs = Counter((event.job, event.region) for event in self._target.events("request"))
        return max(legs.values())


def _ms(began: float, ended: float) -> float:
    return round((ended - began) * 1000, 2)


def start(bed: Testbed) -> tuple[Agents, OutsideTarget]:
    """Start a service whose regions are agents, the echo beside each of its parts, and the target."""
    target, agents = OutsideTarget(bed["net"]), Agents(bed)
    agents.service.start()
    agents.start(*REGIONS)
    for region in REGIONS:
        _start_echo(bed, region, "relay", RELAY_PORT, region, bed["net"].address, str(TARGET_PORT))
    relays = [word for region in REGIONS for word in (bed[region].address, str(RELAY_PORT))]
    _start_echo(bed, "hub", "front", FRONT_PORT, *relays)
    until(lambda: sorted(agents.service.up()) == [*REGIONS], what="a service with three regions")
    return agents, target


def _start_echo(bed: Testbed, machine: str, part: str, port: int, *rest: str) -> None:
    process = bed[machine].start("python", "-m", "bench.testbed.echo", part, str(port), *rest)
    until(lambda: "listening" in process.output(), what=f"the echo on {machine}")


@contextlib.asynccontextmanager
async def connected(bed: Testbed, agents: Agents, target: OutsideTarget) -> AsyncIterator[Client]:
    """Connect a client, until the block ends."""
    client = Client(bed, agents.service.api_key, target)
    await client.open()
    try:
        yield client
    finally:
        client.close()


async def play(bed: Testbed, agents: Agents, target: OutsideTarget, options: argparse.Namespace) -> list[Run]:
    """Play all runs, after a short one that opens the target's gate and every connection."""
    async with connected(bed, agents, target) as client:
        track = Track(client, target, options.seed)
        await track.run(WARM_UP_PAIRS)
        runs = [await track.run(options.pairs) for _ in range(options.runs)]
        print(f"most requests per leg: {track.most_requests_per_leg()}")
        return runs


def show(runs: Sequence[Run]) -> str:
    """Write down what the runs found."""
    found = [rows(run) for run in runs]
    lines = [f"{'ms: median of the runs (least to most)':68}{'p50':>24}{'p99':>24}"]
    for name in found[0]:
        p50, p99 = (str(percentile_over_runs([each[name] for each in found], share)) for share in SHARES)
        lines.append(f"{name:68}{p50:>24}{p99:>24}")
    p50, p99 = (str(over_runs([run.above(share) for run in runs])) for share in SHARES)
    required = f"a race above an echo (required: {REQUIRED_P50_MS:g}, {REQUIRED_P99_MS:g})"
    lines.append(f"{required:68}{p50:>24}{p99:>24}")
    lines.append(f"losers closed: {sum(len(each.closed_ms) for run in runs for each in run.races)}")
    lines.append(f"cores that others used meanwhile: {over_runs([run.others_cores for run in runs])}")
    return "\n".join(lines)


def rows(run: Run) -> dict[str, list[float]]:
    """List a run's times (ms), by what they are."""
    found = {
        "a race of three, submit to webhook": [each.ms for each in run.races],
        "an echo over the same paths": [each.ms for each in run.echoes],
    }
    for region in REGIONS:
        found[f"... a race that {region} wins"] = [each.ms for each in run.races if each.winner == region]
        found[f"... an echo that {region} wins"] = [each.ms for each in run.echoes if each.winner == region]
    closed, floor = (
        [ms for each in some for ms in each.closed_ms.values()] for some in (run.races, run.echoes)
    )
    return found | {
        "a loser is closed after the winner's answer": closed,
        "... by the echo": floor,
        f"... above the echo's median on its path (required: p99 {REQUIRED_CLOSED_MS:g})": run.closed_above(),
    }


def main() -> None:
    """Run the races and print what they showed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=120, help="races a run, and as many echoes")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the runs here")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    with running_testbed() as bed:
        agents, target = start(bed)
        with bed["net"].network():
            runs = asyncio.run(play(bed, agents, target, options))
    print(f"{options.runs} runs of {options.pairs} pairs, one at a time, seed {options.seed}")
    print(show(runs))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(runs).replace(b"},{", b"},\n{") + b"\n")


_ACCEPTED = answer("200 OK")

if __name__ == "__main__":
    main()
