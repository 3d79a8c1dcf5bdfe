"""The ways of running a job over regions that are compared."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from bench.race.workloads import REGIONS

Fields = dict[str, Any]


class Arm(Struct, frozen=True):
    """A way. ``fields`` are those of the submission that make it, from the job's number."""

    name: str
    fields: Callable[[int], Fields]


_STAYS: Fields = {
    "region_policy": "strict",
    "retry_policy": {"retry_codes": [429, 500, 503], "reroute_codes": []},
}
"""Where a region fails it is asked again: nobody else is."""


def _hedge(quantile: float, budget: float) -> Callable[[int], Fields]:
    hedge = {"quantile": quantile, "budget": budget}
    return lambda _number: {"regions": REGIONS, "execution_mode": "hedge", "hedge": hedge}


ARMS = {
    arm.name: arm
    for arm in (
        Arm("single", lambda _number: {"regions": REGIONS[:1], **_STAYS}),
        Arm("round robin", lambda number: {"regions": [REGIONS[number % len(REGIONS)]], **_STAYS}),
        Arm("sequential fallback", lambda _number: {"regions": REGIONS[:1]}),
        Arm("race of 2", lambda _number: {"regions": REGIONS[:2]}),
        Arm("race of 3", lambda _number: {"regions": REGIONS}),
        Arm("hedge p95", _hedge(0.95, 0.055)),
        Arm("hedge p90", _hedge(0.9, 0.1)),
        Arm("hedge p85", _hedge(0.85, 0.2)),
    )
}
ORACLE = "oracle"
"""The quickest success among all regions, as the target would have answered it: a bound, and no arm."""
