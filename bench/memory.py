"""What one customer can make the service hold, and what another one feels of it.

Attack after attack multiplies what may be large by what may be many. Meanwhile another customer runs jobs,
from a process of its own, and the memory of every process of the service is sampled. Each attack has to stay
within 256 MiB more than the baseline, to be back within 64 MiB a minute later, and to leave the other
customer's p99, from submission to result, within twice what it is alone, or 100 ms.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

from bench.figures import percentile
from bench.memory_attacks import ATTACKS, PACE, Attack, Attacker
from bench.service import Service, create_key, descendants, process_name, running_service
from tests.support.certificates import Certificate

MIB = 1024 * 1024
PEAK_MIB = 256.0
KEPT_MIB = 64.0
BACK_WITHIN_S = 60.0
P99_MOST_MS = 100.0
ALONE_TIMES = 2.0
SAMPLE_EVERY_S = 0.05
JOB_EVERY_S = 0.02
ALONE_S = 10.0
HOLD_S = 12.0
"""What an attack has built up is held for so long."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
OURS = ("ShardActor", "WebhookActor", "ExecutorActor")
"""How the processes that hold customers' bytes are titled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One attack. Memory is MiB above the baseline, of the process of a kind that has most."""

    attack: str
    what: str
    grown_mib: dict[str, float]
    kept_mib: dict[str, float]
    back_after_s: float
    jobs: int
    p50_ms: float
    p99_ms: float
    allowed_ms: float

    @property
    def holds(self) -> bool:
        """Whether it stayed within its bounds."""
        within = all(grown <= PEAK_MIB for grown in self.grown_mib.values())
        back = all(kept <= KEPT_MIB for kept in self.kept_mib.values())
        return within and back and self.p99_ms <= self.allowed_ms


class Memory:
    """Resident memory of a service's processes, above a baseline."""

    def __init__(self, service: Service) -> None:
        names = {pid: process_name(pid).removeprefix("ray::") for pid in descendants(service.process.pid)}
        self._names = {pid: name for pid, name in names.items() if name.startswith(OURS)}
        self._baseline = {pid: _resident(pid) for pid in self._names}
        self.highest: dict[str, float] = {}

    def above(self) -> dict[str, float]:
        """Say how far each kind of process is above its baseline, in MiB."""
        now: dict[str, float] = {}
        for pid, name in self._names.items():
            now[name] = max(now.get(name, 0.0), (_resident(pid) - self._baseline[pid]) / MIB)
        for name, grown in now.items():
            self.highest[name] = max(self.highest.get(name, 0.0), grown)
        return now

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Sample until the block ends."""

        async def sample() -> None:
            while True:
                self.above()
                await asyncio.sleep(SAMPLE_EVERY_S)

        self.highest = {}
        sampling = asyncio.ensure_future(sample())
        try:
            yield
        finally:
            sampling.cancel()

    async def back_after_s(self) -> float:
        """Wait until every process is near its baseline again, a minute at most; say how long it took."""
        began = time.monotonic()
        while max(self.above().values()) > KEPT_MIB and time.monotonic() - began < BACK_WITHIN_S:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.25)
        return time.monotonic() - began


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return 0


class Bystander:
    """Another customer, in a process of its own, with a target of its own: a job every 20 ms, one by one."""

    def __init__(self, base_url: str, api_key: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._ours, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_run_jobs_for_ever, args=(base_url, api_key, theirs), daemon=True
        )

    @contextlib.contextmanager
    def running(self) -> Iterator["Bystander"]:
        """Let it live until the block ends."""
        self._process.start()
        try:
            yield self
        finally:
            self._process.terminate()
            self._process.join()

    def begin(self) -> None:
        """Count from now on."""
        self._ours.send("begin")

    async def end(self) -> list[float]:
        """Give the times of its jobs since then, from submission to result, in ms."""
        self._ours.send("end")
        times: list[float] = await asyncio.to_thread(self._ours.recv)
        return times


def _run_jobs_for_ever(base_url: str, api_key: str, orders: Connection) -> None:
    times: list[float] = []
    target = ThreadingHTTPServer(("127.0.0.1", 0), _Target)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{target.server_port}/"
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=120) as api:
        for number in range(10**9):
            while orders.poll():
                if orders.recv() == "end":
                    orders.send(times)
                times = []
            took_s = _run_job(api, {"url": url, "idempotent_key": f"{time.time_ns()}-{number}"})
            times.append(took_s * 1000)
            time.sleep(max(0.0, JOB_EVERY_S - took_s))


def _run_job(api: httpx.Client, job: dict[str, str]) -> float:
    began = time.monotonic()
    answer = api.post("/api/v1/jobs", json=job)
    if answer.status_code != httpx.codes.ACCEPTED:
        sys.exit(f"a bystander's job was answered {answer.status_code}: {answer.text}")
    ended = api.get(f"/api/v1/jobs/{answer.json()['job_id']}", params={"wait": 60})
    took_s = time.monotonic() - began
    if ended.json().get("state") != "success":
        sys.exit(f"a bystander's job did not end well: {ended.text}")
    return took_s


class _Target(BaseHTTPRequestHandler):
    """Answers "ok", at any pace."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(HTTPStatus.OK)
        for line in f"{PACE}Content-Length: 2".splitlines():
            self.send_header(*line.split(": "))
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


class Bench:
    """Attack after attack on one service."""

    def __init__(
        self, service: Service, bystander: Bystander, *, alone_s: float = ALONE_S, hold_s: float = HOLD_S
    ) -> None:
        self._service = service
        self._bystander = bystander
        self._alone_s = alone_s
        self._hold_s = hold_s

    async def run(self, attacks: Sequence[Attack], report: Callable[[Outcome], None]) -> list[Outcome]:
        """Make each attack; ``report`` hears of each outcome at once."""
        async with Attacker.of(self._service, self._hold_s) as warm_up:
            await warm_up.result_of("/letters?bytes=1000")
        memory = Memory(self._service)
        outcomes = []
        for attack in attacks:
            # Alone right before it: the machine is others' too.
            alone = await self._meanwhile(lambda: asyncio.sleep(self._alone_s))
            outcomes.append(await self._one(attack, memory, alone))
            report(outcomes[-1])
        return outcomes

    async def _one(self, attack: Attack, memory: Memory, alone: list[float]) -> Outcome:
        async with memory.watched(), Attacker.of(self._service, self._hold_s) as attacker:
            times = await self._meanwhile(lambda: attack.make(attacker))
        grown = dict(memory.highest)
        back_after_s = await memory.back_after_s()
        return Outcome(
            attack=attack.name,
            what=attack.what,
            grown_mib=grown,
            kept_mib=memory.above(),
            back_after_s=back_after_s,
            jobs=len(times),
            p50_ms=percentile(times, 0.5),
            p99_ms=percentile(times, 0.99),
            allowed_ms=max(ALONE_TIMES * percentile(alone, 0.99), P99_MOST_MS),
        )

    async def _meanwhile(self, work: Callable[[], Awaitable[None]]) -> list[float]:
        self._bystander.begin()
        await work()
        return await self._bystander.end()


def line_of(outcome: Outcome) -> str:
    """Write an outcome as a line for people."""
    names = {"ShardActor": "shard", "WebhookActor": "webhooks", "ExecutorActor": "executor"}
    grown = ", ".join(
        f"{names.get(name, name)} +{most:.0f} (then +{outcome.kept_mib.get(name, 0):.0f})"
        for name, most in sorted(outcome.grown_mib.items())
    )
    verdict = "ok  " if outcome.holds else "FAIL"
    others = (
        f"others' p99 {outcome.p99_ms:.0f} ms of {outcome.allowed_ms:.0f} allowed, p50 {outcome.p50_ms:.1f}"
    )
    return f"{verdict} {outcome.attack:<10} {grown} MiB, back after {outcome.back_after_s:.0f} s; {others}"


async def measure(attacks: Sequence[Attack]) -> list[Outcome]:
    """Start a service that trusts the attacker's target, and make these attacks on it."""
    with (
        tempfile.TemporaryDirectory(prefix="ezthrottle-") as data_dir,
        trusted(Certificate.made()),
        running_service("--allow-private-targets", data_dir=Path(data_dir)) as service,
        Bystander(service.base_url, create_key(Path(data_dir), "cust_bystander")).running() as bystander,
    ):
        return await Bench(service, bystander).run(attacks, lambda found: print(line_of(found), flush=True))


@contextlib.contextmanager
def trusted(certificate: Certificate) -> Iterator[None]:
    """Have the processes that are started until the block ends trust it."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["SSL_CERT_FILE"] = str(certificate.write(Path(directory))[0])
        try:
            yield
        finally:
            del os.environ["SSL_CERT_FILE"]


def main() -> None:
    """Run from the command line."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--only", help="names of attacks, with commas")
    reading.add_argument("--json", type=Path, help="where to write the outcomes")
    given = reading.parse_args()
    wanted = given.only.split(",") if given.only else [attack.name for attack in ATTACKS]
    outcomes = asyncio.run(measure([attack for attack in ATTACKS if attack.name in wanted]))
    if given.json:
        command = "python -m bench.memory" + (f" --only {given.only}" if given.only else "")
        told = [asdict(outcome) | {"holds": outcome.holds} for outcome in outcomes]
        given.json.write_text(json.dumps({"command": command, "attacks": told}, indent=1) + "\n")
    sys.exit(0 if all(outcome.holds for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
