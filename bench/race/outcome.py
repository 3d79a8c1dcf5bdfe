"""What a run of one arm showed: each job's times, and what it cost."""

import math
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from bench.figures import percentile
from bench.race.target import Asked

SURE = 1.96
"""Standard deviations of a 95 % confidence interval."""
LATE_S = 0.1
"""A loser whose answer was due so long after the winner's could have been closed in time."""


class Leg(Struct, frozen=True, kw_only=True):
    """A request of a race, in ms from the first one of its job. ``ended_ms``: answered, or closed before."""

    region: str
    at_ms: float
    ended_ms: float
    status: int | None


class Outcome(Struct, frozen=True, kw_only=True):
    """A run of an arm. Times are ms: ``service_ms`` from the first request at the target to the webhook,
    ``whole_ms`` from the submission on, ``close_ms`` from the winner's answer to a loser's end.
    """

    arm: str
    service_ms: list[float]
    whole_ms: list[float]
    oracle_ms: list[float]
    close_ms: list[float]
    requests: int
    losers_due_late: int
    losers_closed_in_time: int
    cpu_ms_per_job: float
    begun_late_p99_ms: float
    replay: list[list[Leg]]

    @property
    def extra(self) -> float:
        """Requests beyond one a job, as a share of the jobs: permits spent too, for each has its own."""
        return self.requests / len(self.service_ms) - 1


class Interval(Struct, frozen=True):
    """A percentile with the 95 % confidence interval that its rank has."""

    value: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.value:.1f} ({self.least:.1f} to {self.most:.1f})"


def interval(values: Sequence[float], share: float) -> Interval:
    """Estimate a percentile: of a binomial's ranks, by its normal approximation."""
    spread = SURE * math.sqrt(share * (1 - share) / len(values))
    least, most = max(0.0, share - spread), min(1.0, share + spread)
    return Interval(percentile(values, share), percentile(values, least), percentile(values, most))


def by_job(log: Sequence[Asked]) -> dict[int, list[Asked]]:
    """Group a target's log, each job's requests in their order."""
    found: defaultdict[int, list[Asked]] = defaultdict(list)
    for asked in sorted(log, key=lambda asked: asked.at):
        found[asked.job].append(asked)
    return dict(found)


def losers(requests: Sequence[Asked]) -> tuple[float, list[Asked]]:
    """Give when the first success was answered (monotonic s), and the other requests that went on then."""
    answered = [r.answered_at for r in requests if r.answered_at is not None and r.status < 300]  # noqa: PLR2004  # the class 2xx
    won_at = min(answered, default=math.inf)
    others = [r for r in requests if r.answered_at != won_at and min(_end(r), r.due_at) > won_at]
    return won_at, others


def replayed(requests: Sequence[Asked]) -> list[Leg]:
    """Tell a job's race."""
    first = requests[0].at
    return [
        Leg(
            region=asked.region,
            at_ms=(asked.at - first) * 1000,
            ended_ms=(min(_end(asked), asked.due_at) - first) * 1000,
            status=asked.status if asked.answered_at is not None else None,
        )
        for asked in requests
    ]


def _end(asked: Asked) -> float:
    ends = (at for at in (asked.answered_at, asked.closed_at) if at is not None)
    return min(ends, default=math.inf)
