"""What happens to jobs when their region fails under them: a table of faults, by Ray nodes and by agents.

Each fault's times are noted; how long something may take is bounded loosely: machines are shared.
"""

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from msgspec import Struct

from bench.testbed.bed import Testbed
from bench.testbed.load import Outcome, loaded
from bench.testbed.service import REGIONS, OutsideTarget, until
from bench.testbed.target import Event
from tests.wan.conftest import Judge
from tests.wan.faults import CASES, ELSEWHERE_WITHIN_S, LAX, Fault
from tests.wan.figures import ROUNDS, Figures
from tests.wan.worlds import World

PAUSE_S, STEADY_S = 2.0, 10.0
"""A region is in use again when its requests come without a longer pause for so long: the process that was
cut off may do some before its cluster ends it."""
SLACK = 1.8
"""Machines are shared: what was seen is noted beside the figure itself, and compared in the results."""
STRICTLY: Mapping[str, Any] = {"policy": "strict", "per_s": 1.0}


@pytest.mark.parametrize(("kind", "fault"), CASES, ids=[f"{kind.kind}-{fault}" for kind, fault in CASES])
def test_a_regions_work_goes_to_others_and_the_region_is_used_again_by_itself(
    bed: Testbed, target: OutsideTarget, judge: Judge, figures: Figures, kind: type[World], fault: Fault
) -> None:
    world = kind(bed)
    world.start()
    for _ in range(ROUNDS):
        befall(world, fault, target, judge, figures)
        until(lambda: sorted(world.service.up()) == [*REGIONS], what="all regions up again")


class Seen(Struct, frozen=True, kw_only=True):
    """A fault's moments (Unix s), and what became of the jobs that came before, during and after it."""

    struck: float
    down: float
    over: float
    back: float
    jobs: list[Outcome]
    strict: list[Outcome]


def befall(world: World, fault: Fault, target: OutsideTarget, judge: Judge, figures: Figures) -> None:
    """Let a fault come under load, note what was seen, and judge it."""
    kind, seen = type(world), under_load(world, fault, target)
    elsewhere_s = last_move(target, seen.jobs, seen.struck) - seen.struck
    back_s = seen.back - seen.over
    figures.note(
        f"{kind.kind}: lax {fault}",
        must={"elsewhere_after_s": ELSEWHERE_WITHIN_S, "back_after_s": fault.back_within_s(kind)},
        no_new_work_after_s=seen.down - seen.struck,
        elsewhere_after_s=elsewhere_s,
        slowest_job_s=slowest_after(seen.jobs, seen.struck - 2),
        over_after_s=seen.over - seen.struck,
        back_after_s=back_s,
        jobs=len(seen.jobs) + len(seen.strict),
    )
    judge(seen.jobs, window=(seen.struck, seen.over))
    assert {outcome.region for outcome in seen.strict} <= {LAX, None}, "a strict job left its region"
    assert {request.region for request in requests_of(target, seen.strict)} == {LAX}
    assert elsewhere_s < SLACK * ELSEWHERE_WITHIN_S
    assert back_s < SLACK * fault.back_within_s(kind)


def under_load(world: World, fault: Fault, target: OutsideTarget) -> Seen:
    """Let a fault come and go while jobs for its region do, some of which may run nowhere else."""
    service = world.service
    with (
        loaded(world.bed, service, target, LAX) as jobs,
        loaded(world.bed, service, target, LAX, **STRICTLY) as strict,
    ):
        time.sleep(3)
        struck = time.time()
        former = world.executors(LAX)
        fault.strike(world)
        until(lambda: LAX not in service.up(), what="lax taken out of use")
        down = time.time()
        over = await_end(world, fault, struck, former)
        until(lambda: time.time() - steady_since(in_lax(target, over)) >= STEADY_S, what="lax in use")
        back = steady_since(in_lax(target, over))
        jobs_, strict_ = jobs.finish(), strict.finish()
    return Seen(struck=struck, down=down, over=over, back=back, jobs=jobs_, strict=strict_)


def in_lax(target: OutsideTarget, since: float) -> list[float]:
    """List when requests came from lax, since a moment (Unix s)."""
    return [each.at for each in target.events("request", since) if each.region == LAX]


def steady_since(times: list[float]) -> float:
    """Say since when there was no long pause between these times, none that lasts still either."""
    now = time.time()
    after_pauses = [at for before, at in pairwise([0.0, *times, now]) if at - before > PAUSE_S]
    return max(after_pauses)


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


def slowest_after(outcomes: list[Outcome], at: float) -> float:
    """Say how long the slowest of the jobs took that were acknowledged since a moment (s)."""
    return max(outcome.took_s for outcome in outcomes if outcome.at >= at)
