"""What very many targets cost: memory for each idle one, and time to pick the next request among many.

``python -m tests.simulation.many_domains`` drives the real shard and its limiters in one process, in virtual
time. The rounds among few and among many are played in turn, so that the ratio of their medians holds on a
busy machine too.
"""

import argparse
import asyncio
import gc
import json
import statistics
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import perf_counter

from msgspec import Struct, to_builtins

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.queueing.fairness import one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.steering import Steering
from tests.simulation.outage import LeanStore
from tests.support.outlet import HeapClock
from tests.support.rig import Rig
from tests.support.virtual_loop import VirtualLoop

FEW = 100
MANY = 100_000
BYTES_MOST = 1_536
RATIO_MOST = 2.0
ROUNDS = 15
PICKS = 4_000
BATCH = 500
OF_THE_SHARD = ("*/orchestrator/core/*", "*/orchestrator/domain/*", "*/urllib/*", "*/dataclasses.py")
"""Executors and the store live elsewhere, or on disk."""


class Picking(Struct, frozen=True):
    """Microseconds to let one request go and take another in: medians of the rounds, and their ratio."""

    few_us: float
    many_us: float
    ratio: float


class Cost(Struct, frozen=True):
    """What ``make bench-domains`` finds."""

    domains: int
    bytes_each: float
    among_domains: Picking
    among_jobs_of_one_account: Picking
    among_accounts: Picking

    @property
    def within_bounds(self) -> bool:
        """Whether the required figures are met."""
        pickings = (self.among_domains, self.among_jobs_of_one_account, self.among_accounts)
        return self.bytes_each <= BYTES_MOST and all(each.ratio <= RATIO_MOST for each in pickings)


def bytes_per_idle_domain(domains: int) -> float:
    """Let each target have had a job that went its whole way, and see what the shard still holds for it."""
    loop = VirtualLoop(Random(1))
    rig = Rig(loop, Pace())
    rig.store = LeanStore()
    rig.log = False
    held: list[int] = []
    tracemalloc.start()
    loop.run(_visit(rig, domains, held))
    tracemalloc.stop()
    return held[0] / domains


async def _visit(rig: Rig, domains: int, held: list[int]) -> None:
    await rig.begin()
    gc.disable()
    for number in range(domains):
        await rig.submit(url=f"https://host-{number}.example.com/")
        if number % BATCH == BATCH - 1:
            await asyncio.sleep(0.2)
    await asyncio.sleep(30)
    gc.enable()
    gc.collect()
    traces = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(inclusive=True, filename_pattern=pattern) for pattern in OF_THE_SHARD]
    )
    held.append(sum(statistic.size for statistic in traces.statistics("filename")))
    await rig.shard.stop()


class Waiting:
    """Targets with work: whenever a request goes, another comes.

    Args:
        domains: How many targets.
        jobs: How many wait at each.
        accounts: How many customers share those.
        pace: That of each target.
    """

    def __init__(self, *, domains: int, jobs: int, accounts: int, pace: Pace) -> None:
        self._clock = HeapClock()
        self._random = Random(3)
        self._accounts = accounts
        self._numbers = 0
        self._gone = 0
        self._limiters = [self._limiter(number, pace) for number in range(domains)]
        for limiter in self._limiters:
            limiter.hold()
            for _ in range(jobs):
                limiter.enqueue(self._ticket())
        for limiter in self._limiters:
            limiter.release()

    def time_of_one_us(self) -> float:
        """Let some go; say how long one takes."""
        before, began = self._gone, perf_counter()
        while self._gone < before + PICKS:
            self._clock.step()
        return (perf_counter() - began) / (self._gone - before) * 1e6

    def _limiter(self, number: int, pace: Pace) -> DomainLimiter:
        return DomainLimiter(
            TargetDomain(f"host-{number}.example.com"),
            self._clock,
            Steering(pace, PaceCaps()),
            weight=one_each,
            not_before=0.0,
            launch=self._launch,
            opens_at=lambda _domain, now: now,
        )

    def _ticket(self) -> Ticket:
        self._numbers += 1
        customer = CustomerId(f"cust_{self._random.randrange(self._accounts)}")
        return Ticket(self._random.randrange(10**9), JobId(f"job_{self._numbers}"), customer=customer)

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        self._gone += 1
        limiter.started(permit, self._clock.now())
        limiter.closed(permit)
        limiter.enqueue(self._ticket())


def picking(make: Callable[[int], Waiting]) -> Picking:
    """Pick among few and among many in turn, and compare."""
    few, many = make(FEW), make(MANY)
    gc.collect()
    # What lives for ever is no matter of picking; the service leaves it out of collections too.
    gc.freeze()
    rounds = [(few.time_of_one_us(), many.time_of_one_us()) for _ in range(ROUNDS)]
    gc.unfreeze()
    few_us, many_us = (statistics.median(times) for times in zip(*rounds, strict=True))
    return Picking(few_us, many_us, many_us / few_us)


def measure(domains: int) -> Cost:
    """Find out everything."""
    fast = Pace(50_000.0, 1_000)
    return Cost(
        domains,
        bytes_per_idle_domain(domains),
        picking(lambda count: Waiting(domains=count, jobs=2, accounts=10, pace=Pace())),
        picking(lambda count: Waiting(domains=1, jobs=count, accounts=1, pace=fast)),
        picking(lambda count: Waiting(domains=1, jobs=count, accounts=count // 10, pace=fast)),
    )


def as_json(cost: Cost) -> str:
    """Write the figures."""
    return json.dumps(to_builtins(cost), indent=2) + "\n"


def main() -> None:
    """Measure, say what came of it, and fail where it is more than required."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=MANY, help="idle targets to weigh")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    cost = measure(options.domains)
    if options.json:
        options.json.write_text(as_json(cost))
    print(  # noqa: T201  # what the command is for
        f"{cost.domains} idle targets: {cost.bytes_each:.0f} bytes each (<= {BYTES_MOST})\n"
        + "\n".join(
            f"picking {name}: {each.few_us:.1f} us among {FEW}, {each.many_us:.1f} us among {MANY}, "
            f"ratio {each.ratio:.2f} (<= {RATIO_MOST:g})"
            for name, each in (
                ("among targets", cost.among_domains),
                ("among the jobs of one account", cost.among_jobs_of_one_account),
                ("among accounts", cost.among_accounts),
            )
        )
    )
    raise SystemExit(not cost.within_bounds)


if __name__ == "__main__":
    main()
