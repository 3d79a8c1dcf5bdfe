"""Where a leg may run."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from orchestrator.domain.ids import RegionName
from orchestrator.domain.job import RegionPolicy

SUSPECT_AFTER_S = 1.5
DOWN_AFTER_S = 3.0
SELF_FENCE_AFTER_S = 2.0
"""Less than DOWN_AFTER_S: a cut-off executor has closed everything before its work is sent again."""
HEARTBEAT_EVERY_S = 0.5


class RegionHealth(StrEnum):
    """What the shard thinks of a region."""

    UP = "up"
    SUSPECT = "suspect"
    """Silent for a while: no new work."""
    DOWN = "down"
    """Silent for long: what it had is given to others."""


def health(silent_s: float, own_stall_s: float = 0.0) -> RegionHealth:
    """Judge a region by its silence. The judge's own stall is added to each limit: who did not
    listen can't call the others dead.
    """
    if silent_s < SUSPECT_AFTER_S + own_stall_s:
        return RegionHealth.UP
    return RegionHealth.SUSPECT if silent_s < DOWN_AFTER_S + own_stall_s else RegionHealth.DOWN


def place(
    wanted: RegionName,
    *,
    listed: Sequence[RegionName],
    policy: RegionPolicy,
    up: Collection[RegionName],
    busy: Collection[RegionName],
) -> RegionName | None:
    """Choose where a leg that wants ``wanted`` runs now; None where it has to wait.

    Under ``fallback`` another healthy region stands in, one where the job has no leg (``busy``) first.
    """
    if wanted in up:
        return wanted
    if policy is RegionPolicy.STRICT:
        return None
    others = sorted(up, key=lambda region: (region in busy, region not in listed, region))
    return others[0] if others else None


def reroute_target(
    *,
    listed: Sequence[RegionName],
    policy: RegionPolicy,
    up: Sequence[RegionName],
    used: Collection[RegionName],
) -> RegionName | None:
    """Choose a region for a rerouted leg: one where the job has, or had, none. None where none is left."""
    candidates = [*listed, *(up if policy is RegionPolicy.FALLBACK else ())]
    return next((region for region in candidates if region in up and region not in used), None)
