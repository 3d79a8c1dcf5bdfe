"""Plays an arm: jobs that are begun when they are due, whatever becomes of those before them."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import msgspec

from bench.figures import percentile
from bench.ports import free_port
from bench.race.arms import Arm
from bench.race.outcome import LATE_S, Outcome, by_job, losers, replayed
from bench.race.target import Asked
from bench.race.workloads import Workload
from bench.raw_http import RawListener, RawServer, answer
from bench.service import Service
from bench.submitter import Submitter, at_a_rate

CONNECTIONS = 64
REPLAYED = 40
"""Races that a report can show one by one."""
ENDED_WITHIN_S = 120.0
WARM_UP_JOBS = 200
_ACCEPTED = answer("200 OK")


class Stage:
    """A service, a target that draws its latencies, and a receiver of webhooks."""

    def __init__(self, service: Service, target_url: str, submitter: Submitter, hook_url: str) -> None:
        self._service = service
        self._target_url = target_url
        self._submitter = submitter
        self._hook_url = hook_url
        self._arrived: dict[str, asyncio.Future[float]] = {}
        self._run = 0

    def received(self, _head: bytes, body: bytes) -> bytes:
        """Take a webhook; it may come more than once."""
        arrival = self._arrival(json.loads(body)["job_id"])
        if not arrival.done():
            arrival.set_result(time.monotonic())
        return _ACCEPTED

    async def play(self, workload: Workload, arm: Arm, *, jobs: int, per_s: float, seed: int) -> Outcome:
        """Run so many jobs, so many a second."""
        self._run += 1
        await self._ask_target(f"/play/{workload.name}/{seed}/{jobs}")
        before = self._service.cpu_by_process()
        times, begun_late_ms = await at_a_rate(jobs, per_s, lambda number: self._job(arm, number))
        spent = self._service.cpu_by_process()
        cpu_s = sum(used - before.get(name, 0.0) for name, used in spent.items())
        log = msgspec.json.decode(await self._rested_log(), type=list[Asked])
        oracle_ms = [workload.oracle_s(seed, number, jobs) * 1000 for number in range(jobs)]
        late_ms = percentile(begun_late_ms, 0.99)
        return _judged(arm.name, times, log, oracle_ms, cpu_s * 1000 / jobs, late_ms)

    async def _job(self, arm: Arm, number: int) -> tuple[float, float]:
        job = {
            "url": f"{self._target_url}/job/{number}",
            "idempotent_key": f"{self._run}-{number}",
            "webhooks": [{"url": self._hook_url}],
            **arm.fields(number),
        }
        began = time.monotonic()
        job_id = await self._submitter.submit(job)
        arrived = await asyncio.wait_for(self._arrival(job_id), ENDED_WITHIN_S)
        del self._arrived[job_id]
        return began, arrived

    def _arrival(self, job_id: str) -> asyncio.Future[float]:
        if job_id not in self._arrived:
            self._arrived[job_id] = asyncio.get_running_loop().create_future()
        return self._arrived[job_id]

    async def _rested_log(self) -> bytes:
        # A loser is closed some ms after the winner's webhook, or answers when its time is over.
        await asyncio.sleep(1.5)
        return await self._ask_target("/log")

    async def _ask_target(self, path: str) -> bytes:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(self._target_url + path)).raise_for_status().content


def _judged(
    arm: str,
    times: Sequence[tuple[float, float]],
    log: Sequence[Asked],
    oracle_ms: list[float],
    cpu_ms_per_job: float,
    begun_late_p99_ms: float,
) -> Outcome:
    races = by_job(log)
    close_ms, due_late, in_time = [], 0, 0
    for requests in races.values():
        won_at, others = losers(requests)
        close_ms += [(asked.closed_at - won_at) * 1000 for asked in others if asked.closed_at is not None]
        late = [asked for asked in others if asked.due_at >= won_at + LATE_S]
        due_late += len(late)
        in_time += sum(asked.answered_at is None for asked in late)
    return Outcome(
        arm=arm,
        service_ms=[(hook - races[number][0].at) * 1000 for number, (_, hook) in enumerate(times)],
        whole_ms=[(hook - began) * 1000 for began, hook in times],
        oracle_ms=oracle_ms,
        close_ms=close_ms,
        requests=len(log),
        losers_due_late=due_late,
        losers_closed_in_time=in_time,
        cpu_ms_per_job=cpu_ms_per_job,
        begun_late_p99_ms=begun_late_p99_ms,
        replay=[replayed(requests) for requests in list(races.values())[:REPLAYED]],
    )


@contextlib.asynccontextmanager
async def running_stage(service: Service, target_url: str) -> AsyncIterator[Stage]:
    """Connect to everything, and let the target name its pace."""
    submitter = Submitter(service)
    await submitter.open(CONNECTIONS)
    listener = RawListener(lambda: RawServer(stage.received))
    hook_url = f"http://127.0.0.1:{await listener.open()}/hook"
    stage = Stage(service, target_url, submitter, hook_url)
    try:
        yield stage
    finally:
        submitter.close()
        listener.close()


@contextlib.contextmanager
def running_target() -> Iterator[str]:
    """Run the target in a process of its own; give its URL."""
    port = free_port()
    process = subprocess.Popen((sys.executable, "-m", "bench.race.target", str(port)))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
