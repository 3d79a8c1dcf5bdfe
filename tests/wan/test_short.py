"""What CI plays where a testbed can be made: by agents, which are up soonest, and without figures."""

import time
from collections import defaultdict

import pytest

from bench.testbed.bed import Testbed
from bench.testbed.load import loaded
from bench.testbed.service import REGIONS, OutsideTarget, Service, until
from tests.wan.conftest import Judge
from tests.wan.faults import LAX
from tests.wan.test_faults import last_move
from tests.wan.worlds import RegionAgents

pytestmark = pytest.mark.short


def test_agents_join_from_nothing_race_from_three_addresses_and_a_cut_of_one_costs_no_job(
    bed: Testbed, target: OutsideTarget, judge: Judge
) -> None:
    world = RegionAgents(bed)
    world.start()
    race(bed, world.service, target)
    began = time.time()
    with loaded(bed, world.service, target, LAX) as jobs:
        until(lambda: bool(of_lax(target, began)), what="a job in lax")
        struck = time.time()
        bed.cut(LAX)
        until(lambda: LAX not in world.service.up(), what="lax taken out of use")
        until(lambda: moved(target, began), what="its work in another region")
        bed.heal(LAX)
        healed = time.time()
        until(lambda: bool(of_lax(target, healed)), what="lax in use again")
        outcomes = jobs.finish()
    judge(outcomes, window=(struck, healed))
    assert last_move(target, outcomes, struck) > struck


def race(bed: Testbed, service: Service, target: OutsideTarget) -> None:
    """Race over all regions until a job was asked for from three addresses."""
    addresses = {bed[name].address for name in REGIONS}
    with loaded(bed, service, target, [*REGIONS], after_s=0.5) as jobs:
        until(lambda: addresses in sources(target).values(), what="a race that leaves from three addresses")
        assert {outcome.state for outcome in jobs.finish()} == {"success"}


def sources(target: OutsideTarget) -> dict[str, set[str]]:
    """Tell from which addresses each job was asked for."""
    found = defaultdict(set)
    for event in target.events("request"):
        found[event.job].add(event.source)
    return found


def of_lax(target: OutsideTarget, since: float) -> set[str]:
    """Name the jobs that began in lax since a moment (Unix s)."""
    return {event.job for event in target.events("request", since) if event.region == LAX}


def moved(target: OutsideTarget, since: float) -> bool:
    """Whether another region has begun what lax has had since a moment (Unix s)."""
    had = of_lax(target, since)
    return any(event.job in had for event in target.events("request", since) if event.region != LAX)
