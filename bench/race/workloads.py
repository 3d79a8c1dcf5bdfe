"""How long a target takes, by seeded draws: a job's legs draw the same whatever way they are run in."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from random import Random

from msgspec import Struct
from msgspec.structs import replace

REGIONS = ("iad", "lax", "ord")


class Drawn(Struct, frozen=True):
    """What the target does with a job's leg: it answers ``status`` after ``after_s``."""

    after_s: float
    status: int = HTTPStatus.OK


class Workload(Struct, frozen=True, kw_only=True):
    """A target. It takes a log-normal time of this mean and deviation (s); ``slow_share`` of its answers take
    ``slow_times`` as long. From the first region it may take longer still, all the time or more and more
    (``drifts``), and may fail.
    """

    name: str
    what: str
    mean_s: float = 0.02
    deviation_s: float = 0.0
    slow_share: float = 0.0
    slow_times: float = 1.0
    first_region_times: float = 1.0
    drifts: bool = False
    first_region_fails: float = 0.0

    def drawn(self, seed: int, job: int, jobs: int, region: str) -> Drawn:
        """Draw for the leg that job number ``job`` of ``jobs`` has in a region."""
        random = Random(f"{seed} {job} {region}")
        after_s = self._usual(random) * (self.slow_times if random.random() < self.slow_share else 1.0)
        fails = random.random() < self.first_region_fails
        if region != REGIONS[0]:
            return Drawn(after_s)
        over = job / jobs if self.drifts else 1.0
        after_s *= 1 + (self.first_region_times - 1) * over
        return Drawn(after_s, HTTPStatus.INTERNAL_SERVER_ERROR if fails else HTTPStatus.OK)

    def oracle_s(self, seed: int, job: int, jobs: int, regions: Sequence[str] = REGIONS) -> float:
        """Give the time of the quickest success among ``regions``: of one who knows where to ask."""
        drawn = (self.drawn(seed, job, jobs, region) for region in regions)
        return min((leg.after_s for leg in drawn if leg.status == HTTPStatus.OK), default=math.inf)

    def _usual(self, random: Random) -> float:
        variance = math.log(1 + (self.deviation_s / self.mean_s) ** 2)
        return random.lognormvariate(math.log(self.mean_s) - variance / 2, math.sqrt(variance))


USUAL = Workload(name="usual", what="log-normal, 20 ms, deviation 8 ms", mean_s=0.02, deviation_s=0.008)
SLOW_REGION = replace(
    USUAL, name="degraded", what="as usual; the first region ten times slower", first_region_times=10.0
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(name="constant", what="20 ms"),
        USUAL,
        Workload(
            name="stragglers",
            what="log-normal, 5 ms, deviation 2 ms; 5 % ten times slower",
            mean_s=0.005,
            deviation_s=0.002,
            slow_share=0.05,
            slow_times=10.0,
        ),
        Workload(name="heavy-tail", what="20 ms, 2 % take 1 s", slow_share=0.02, slow_times=50.0),
        Workload(name="bimodal", what="10 or 60 ms", mean_s=0.01, slow_share=0.5, slow_times=6.0),
        SLOW_REGION,
        replace(
            USUAL,
            name="erroring",
            what="as usual; the first region answers 500 in 30 %",
            first_region_fails=0.3,
        ),
        replace(
            SLOW_REGION,
            name="drifting",
            what="as usual; the first region grows ten times slower",
            drifts=True,
        ),
    )
}
