"""What a target has to know of a job's step to choose which of its legs goes next, and where it runs."""

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.execution.run import Leg, LegState, Run, hedge_regions, untried_regions
from orchestrator.domain.ids import RegionName
from orchestrator.domain.jobs.job import DEFAULT_HEDGE, HedgePolicy, JobSpec
from orchestrator.domain.jobs.policies import ExecutionMode, RegionPolicy


class StepPlan(Struct, frozen=True, kw_only=True):
    """A step as it stands. ``sent`` names the legs that went out, the first one first; ``used`` are the
    regions that they went to, ``listed`` those that the step names.
    """

    legs: tuple[Leg, ...]
    sent: tuple[int, ...]
    used: frozenset[RegionName]
    mode: ExecutionMode
    policy: RegionPolicy
    listed: tuple[RegionName, ...]
    hedge: HedgePolicy = DEFAULT_HEDGE

    @property
    def strict(self) -> bool:
        """Whether a leg may run in no region but the listed ones."""
        return self.policy.strict

    @property
    def busy(self) -> set[RegionName]:
        """Name the regions of the legs that are not over."""
        return {leg.region for leg in self.legs if not leg.state.over}

    @property
    def untried(self) -> list[RegionName]:
        """Name the regions not tried yet, where legs are planned one at a time."""
        one_by_one = not self.mode.conduct.together
        return untried_regions(self.legs, self.used, self.listed) if one_by_one else []

    @property
    def free(self) -> list[RegionName]:
        """Name the regions where a hedge may begin one more leg."""
        hedges = self.mode.conduct.when_late
        return hedge_regions(self.legs, self.used, self.listed) if hedges else []

    def is_further(self, leg: int) -> bool:
        """Whether another leg went out before this one."""
        return bool(self.sent) and self.sent[0] != leg

    def is_spare(self, leg: int) -> bool:
        """Whether a leg uses only what no first leg of its target wants. Only a fan-out cannot do without
        its further legs: they wait their turn like any.
        """
        return self.is_further(leg) and not self.mode.conduct.tells_all

    def begun_by(self, leg: int) -> "StepPlan":
        """Note that a leg went out first."""
        return replace(self, sent=(leg,))

    def in_turn(self, leg: int) -> list[int]:
        """Name the legs that may use this one's turn: before any went out, its siblings too."""
        alone = self.sent or len(self.legs) == 1
        return [leg] if alone else list(dict.fromkeys([leg, *self.waiting]))

    @property
    def waiting(self) -> list[int]:
        """Indexes of the legs that wait for a permit."""
        return [index for index, leg in enumerate(self.legs) if leg.state is LegState.WAITING]

    def strict_ways(self, leg: int) -> list[RegionName]:
        """Name the regions of which any will do for a leg's turn, where it may not go elsewhere."""
        regions = [self.legs[index].region for index in self.in_turn(leg)]
        return list(dict.fromkeys([*regions, *self.untried]))


def plan_of(run: Run, spec: JobSpec) -> StepPlan:
    """Tell of a step what its target has to know."""
    return StepPlan(
        legs=run.legs,
        sent=tuple(dict.fromkeys([attempt.leg for attempt in run.attempts])) if run.attempts else (),
        used=run.used_regions,
        mode=spec.execution_mode,
        policy=spec.region_policy,
        listed=spec.regions,
        hedge=spec.hedge,
    )
