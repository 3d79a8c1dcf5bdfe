"""Which leg of a step uses a turn, and in which region."""

from collections.abc import Sequence

from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.targets.target_health import TargetHealth
from orchestrator.domain.execution.step_plan import StepPlan
from orchestrator.domain.health.routing import place
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.ports.targets import RunStep


def choose(order: RunStep, peers: PeerBook, target_health: TargetHealth) -> tuple[int, RegionName] | None:
    """Find a region for the leg whose turn it is; before any went out, a sibling may take its turn. None
    where nothing takes any of them now.
    """
    with_credit = peers.regions_with_credit(order.plan.listed)
    for leg in order.plan.in_turn(order.turn.ticket.leg):
        region = _region_for(order.plan, leg, order.turn.domain, with_credit, target_health)
        if region is not None:
            return leg, region
    return None


def _region_for(
    plan: StepPlan,
    leg: int,
    domain: TargetDomain,
    with_credit: Sequence[RegionName],
    target_health: TargetHealth,
) -> RegionName | None:
    wanted = plan.legs[leg].region
    # What is repeated stays where it was: only where a leg begins may be chosen.
    if plan.mode.conduct.when_late and leg not in plan.sent and target_health.calm(domain):
        free = [region for region in plan.free if region in with_credit]
        wanted = target_health.where_to_begin(domain, wanted, free)
    if wanted in with_credit and target_health.calm(domain):
        return wanted
    offer = target_health.offer(domain, with_credit)
    return place(
        wanted,
        listed=plan.listed,
        policy=plan.policy,
        up=offer.regions,
        busy=plan.busy,
        ill=offer.ill,
        doubted=offer.doubted,
        untried=plan.untried,
    )
