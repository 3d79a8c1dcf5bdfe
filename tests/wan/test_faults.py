"""What happens to jobs when their region fails under them: a table of faults, by Ray nodes and by agents.

Each fault's times are noted; how long something may take is bounded loosely: machines are shared.
"""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from bench.testbed.bed import Testbed
from bench.testbed.load import Outcome, loaded
from bench.testbed.service import OutsideTarget, until
from bench.testbed.target import Event
from tests.wan.conftest import Judge
from tests.wan.faults import CASES, ELSEWHERE_WITHIN_S, LAX, Fault
from tests.wan.figures import Figures
from tests.wan.worlds import World

SLACK = 1.8
"""Machines are shared: what was seen is noted beside the figure itself, and compared in the results."""
STRICTLY: Mapping[str, Any] = {"policy": "strict", "per_s": 1.0}


def slowest_after(outcomes: list[Outcome], at: float) -> float:
    """Say how long the slowest of the jobs took that were acknowledged since a moment (s)."""
    return max(outcome.took_s for outcome in outcomes if outcome.at >= at)


@pytest.mark.parametrize(("kind", "fault"), CASES, ids=[f"{kind.kind}-{fault}" for kind, fault in CASES])
def test_a_regions_work_goes_to_others_and_the_region_is_used_again_by_itself(
    bed: Testbed, target: OutsideTarget, judge: Judge, figures: Figures, kind: type[World], fault: Fault
) -> None:
    world = kind(bed)
    world.start()
    with (
        loaded(bed, world.service, target, LAX) as jobs,
        loaded(bed, world.service, target, LAX, **STRICTLY) as strict,
    ):
        time.sleep(3)
        struck = time.time()
        former = world.executors(LAX)
        fault.strike(world)
        down_s = until(lambda: LAX not in world.service.up(), what="lax taken out of use")
        over = await_end(world, fault, struck, former)
        until(lambda: any(each.region == LAX for each in target.events("request", over)), what="lax in use")
        back_s = min(each.at for each in target.events("request", over) if each.region == LAX) - over
        time.sleep(3)
        outcomes, strictly = jobs.finish(), strict.finish()
    elsewhere_s = last_move(target, outcomes, struck) - struck
    figures.note(
        f"{kind.kind}: lax {fault}",
        must={"elsewhere_after_s": ELSEWHERE_WITHIN_S, "back_after_s": fault.back_within_s(kind)},
        no_new_work_after_s=down_s,
        elsewhere_after_s=elsewhere_s,
        slowest_job_s=slowest_after(outcomes, struck - 2),
        over_after_s=over - struck,
        back_after_s=back_s,
        jobs=len(outcomes) + len(strictly),
    )
    judge(outcomes, window=(struck, over))
    assert {outcome.region for outcome in strictly} <= {LAX, None}, "a strict job left its region"
    assert {request.region for request in requests_of(target, strictly)} == {LAX}
    assert elsewhere_s < SLACK * ELSEWHERE_WITHIN_S
    assert back_s < SLACK * fault.back_within_s(kind)


def await_end(world: World, fault: Fault, struck: float, former: list[int]) -> float:
    """Wait until a fault is over, mended or by itself; give that moment (Unix s)."""
    if fault.mend is None:
        until(lambda: bool(set(world.executors(LAX)) - set(former)), what="the process started again")
    else:
        time.sleep(max(0.0, struck + fault.lasts_s - time.time()))
        fault.mend(world)
    return time.time()


def last_move(target: OutsideTarget, outcomes: list[Outcome], struck: float) -> float:
    """Say when the last of the jobs that a fault found under way was begun in another region."""
    caught = {each.job for each in outcomes if each.at < struck < each.at + each.took_s}
    moved = [
        each.at for each in target.events("request", struck) if each.job in caught and each.region != LAX
    ]
    return max(moved, default=struck)


def requests_of(target: OutsideTarget, outcomes: list[Outcome]) -> list[Event]:
    """List the requests of jobs."""
    jobs = {outcome.job for outcome in outcomes}
    return [each for each in target.events("request") if each.job in jobs]
