"""Where a leg may run."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.policies import RegionPolicy

SUSPECT_AFTER_S = 1.5
DOWN_AFTER_S = 3.0
SELF_FENCE_AFTER_S = 2.0
"""Less than DOWN_AFTER_S: a cut-off executor has closed everything before its work is sent again."""
HEARTBEAT_EVERY_S = 0.5
FENCED_AFTER_S = SELF_FENCE_AFTER_S + HEARTBEAT_EVERY_S / 2
"""A node that says it has heard nothing for so long has fenced itself: it looks twice a heartbeat."""
ATTEMPTS_CREDIT = 1_000
"""Attempts that a node takes at once, of all shards that it works for."""
STRICT_DOWN_S = 30.0
"""How long a region is DOWN before a leg that may go nowhere else is given up."""


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
    up: Sequence[RegionName],
    busy: Collection[RegionName],
    ill: Collection[RegionName] = (),
    doubted: Collection[RegionName] = (),
    untried: Sequence[RegionName] = (),
) -> RegionName | None:
    """Choose where a leg that wants ``wanted`` runs now; None where it has to wait.

    Under ``strict`` it runs there, or in the first of ``untried``: regions that a hedge lists and has not
    tried, while its own takes nothing.

    Under ``fallback`` any other region stands in: a healthy one before one from which the target is only
    being tried again (``ill``), one where the job has no leg (``busy``), one that it lists, and then
    the first of ``up``, which names the fastest first. One that is ``doubted`` comes last of all, and
    keeps its own legs only if there is no other.
    """
    if wanted in up and (wanted not in doubted or policy.strict):
        return wanted
    if policy.strict or not up:
        return next((region for region in untried if region in up), None)
    bad = {*ill, *doubted}
    best = min(up, key=lambda region: (region in bad, region in busy, region not in listed))
    return wanted if wanted in up and best in bad else best


def reroute_target(
    *,
    listed: Sequence[RegionName],
    policy: RegionPolicy,
    up: Sequence[RegionName],
    used: Collection[RegionName],
) -> RegionName | None:
    """Choose a region for a rerouted leg: one where the job has, or had, none; one that it lists before
    another, and then the first of ``up``, which names the fastest first. None where none is left.
    """
    free = [region for region in up if region not in used]
    own = [region for region in free if region in listed]
    others = free if not policy.strict else []
    return next(iter([*own, *others]), None)
