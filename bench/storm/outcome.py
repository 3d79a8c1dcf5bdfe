"""What a play showed, counted from the target's log."""

import math
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct

from bench.storm.scenarios import Scenario
from bench.storm.target import Asked

MANY_REQUESTS = 6
"""What clients are often allowed a call (``stop_after_attempt(6)``): jobs that took more are counted."""


class Costs(Struct, frozen=True, kw_only=True):
    """What it took beside requests: CPU seconds of the clients and of the service, and how late the target's
    own loop was, in ms at the 99.9th percentile.
    """

    clients_cpu_s: float
    service_cpu_s: float
    late_ms: float
    others_cores: float


class Outcome(Struct, frozen=True, kw_only=True):
    """A play of one arm. ``let_in`` and ``refused`` are requests, by whole seconds from the beginning."""

    scenario: str
    arm: str
    jobs: int
    finished: int
    took_s: float
    requests: int
    refusals: int
    size: int
    took_many_requests: int
    costs: Costs
    let_in: list[int]
    refused: list[int]

    @property
    def lost(self) -> int:
        """Jobs without a success."""
        return self.jobs - self.finished

    @property
    def requests_per_job(self) -> float:
        """Requests per finished job."""
        return self._per_job(self.requests)

    @property
    def refused_share(self) -> float:
        """Refusals, of all requests."""
        return self.refusals / self.requests if self.requests else 0.0

    @property
    def bytes_per_job(self) -> float:
        """Bytes of requests and answers at the target, per finished job."""
        return self._per_job(self.size)

    @property
    def clients_ms_per_job(self) -> float:
        """CPU ms of the clients, per finished job."""
        return self._per_job(self.costs.clients_cpu_s * 1000)

    @property
    def service_ms_per_job(self) -> float:
        """CPU ms of the service, per finished job."""
        return self._per_job(self.costs.service_cpu_s * 1000)

    def _per_job(self, of_all: float) -> float:
        return of_all / self.finished if self.finished else math.inf


def judged(scenario: Scenario, arm: str, log: Sequence[Asked], costs: Costs) -> Outcome:
    """Count a play. Jobs that had two successes are finished once; the second one is a request too many."""
    successes = [asked for asked in log if asked.status == HTTPStatus.OK]
    refusals = [asked for asked in log if asked.status != HTTPStatus.OK]
    requests_by_job = Counter(asked.job for asked in log)
    seconds = max((int(asked.at_s) for asked in log), default=0) + 1
    return Outcome(
        scenario=scenario.name,
        arm=arm,
        jobs=scenario.jobs,
        finished=len({asked.job for asked in successes}),
        took_s=max((asked.at_s for asked in successes), default=math.inf),
        requests=len(log),
        refusals=len(refusals),
        size=sum(asked.size for asked in log),
        took_many_requests=sum(count > MANY_REQUESTS for count in requests_by_job.values()),
        costs=costs,
        let_in=_by_second(successes, seconds),
        refused=_by_second(refusals, seconds),
    )


def _by_second(log: Sequence[Asked], seconds: int) -> list[int]:
    counts = Counter(int(asked.at_s) for asked in log)
    return [counts[second] for second in range(seconds)]
