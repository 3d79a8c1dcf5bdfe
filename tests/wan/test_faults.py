"""What happens to jobs when machines, ways and parts of Ray fail under them.

Each test notes the times that it saw; how long something may take is bounded loosely: machines are shared.
"""

import time
from collections.abc import Callable

import pytest

from bench.testbed.bed import Testbed
from bench.testbed.cluster import REGIONS, Cluster, OutsideTarget, ServiceInCluster, until
from bench.testbed.load import Load, Outcome
from tests.wan.figures import Figures

MOVES_WITHIN_S = 8.0
BACK_WITHIN_S = 60.0
NODE_BACK_WITHIN_S = 90.0

Judge = Callable[..., None]
Begin = Callable[..., Load]


def slowest_after(outcomes: list[Outcome], at: float) -> float:
    """Say how long the slowest of the jobs took that were acknowledged since a moment (s)."""
    return max(outcome.took_s for outcome in outcomes if outcome.at >= at)


def await_up(service: ServiceInCluster, *regions: str, within_s: float = BACK_WITHIN_S) -> float:
    return until(lambda: set(regions) <= set(service.up()), within_s, f"{regions} up")


def await_down(service: ServiceInCluster, region: str) -> float:
    return until(lambda: region not in service.up(), BACK_WITHIN_S, f"{region} down")


@pytest.mark.parametrize("one_way", [False, True], ids=["both ways", "one way"])
@pytest.mark.parametrize("cut_s", [10, 100])
def test_a_region_that_is_cut_off_loses_its_work_to_others_and_comes_back_by_itself(
    bed: Testbed,
    whole: ServiceInCluster,
    load: Begin,
    judge: Judge,
    figures: Figures,
    cut_s: int,
    *,
    one_way: bool,
) -> None:
    jobs = load("lax")
    time.sleep(3)
    cut_at = time.time()
    if one_way:
        bed.cut("hub", "lax", one_way=True)
    else:
        bed.cut("lax")
    suspect_s = await_down(whole, "lax")
    time.sleep(max(0.0, cut_at + cut_s - time.time()))
    bed.heal("lax")
    back_s = await_up(whole, "lax", within_s=NODE_BACK_WITHIN_S)
    time.sleep(5)
    after = time.time()
    time.sleep(5)
    outcomes = jobs.finish()

    figures.note(
        f"lax cut {cut_s} s, {'what hub sends' if one_way else 'both ways'}",
        no_new_work_after_s=suspect_s,
        slowest_job_s=slowest_after(outcomes, cut_at - 2),
        back_after_s=back_s,
        jobs=len(outcomes),
    )
    # An answer that the cut kept from arriving is asked for again: that is the fault's window.
    judge(outcomes, twice=8)
    assert slowest_after(outcomes, cut_at - 2) < MOVES_WITHIN_S
    assert {outcome.region for outcome in outcomes if outcome.at > after} == {"lax"}


def test_an_executor_that_is_killed_is_back_in_a_moment(
    bed: Testbed, whole: ServiceInCluster, load: Begin, judge: Judge, figures: Figures
) -> None:
    jobs = load("lax")
    time.sleep(3)
    killed_at = time.time()
    assert bed["lax"].kill("ray::ExecutorAc") == 1
    down_s = await_down(whole, "lax")
    back_s = await_up(whole, "lax")
    time.sleep(2)
    outcomes = jobs.finish()
    figures.note(
        "executor of lax killed",
        down_after_s=down_s,
        back_after_s=back_s,
        slowest_job_s=slowest_after(outcomes, killed_at - 2),
        jobs=len(outcomes),
    )
    judge(outcomes, twice=4)


def test_a_raylet_that_is_killed_is_brought_back_by_its_unit(
    bed: Testbed, whole: ServiceInCluster, load: Begin, judge: Judge, figures: Figures
) -> None:
    jobs = load("lax")
    time.sleep(3)
    killed_at = time.time()
    assert bed["lax"].kill("raylet") == 1
    down_s = await_down(whole, "lax")
    back_s = await_up(whole, "lax")
    time.sleep(2)
    outcomes = jobs.finish()
    figures.note(
        "raylet of lax killed",
        down_after_s=down_s,
        back_after_s=back_s,
        slowest_job_s=slowest_after(outcomes, killed_at - 2),
        jobs=len(outcomes),
    )
    judge(outcomes, twice=4)


def test_the_gateways_raylet_that_is_killed_takes_the_service_with_it_for_a_while_only(
    bed: Testbed, whole: ServiceInCluster, load: Begin, judge: Judge, figures: Figures
) -> None:
    jobs = load("lax")
    time.sleep(3)
    assert bed["hub"].kill("raylet") == 1
    gone_s = until(lambda: not whole.up(), BACK_WITHIN_S, "the API gone")
    back_s = await_up(whole, *REGIONS, within_s=NODE_BACK_WITHIN_S)
    time.sleep(2)
    outcomes = jobs.finish()
    figures.note(
        "raylet of the gateway's machine killed",
        gone_after_s=gone_s,
        back_after_s=back_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, twice=4)


def test_a_head_that_is_lost_without_a_store_behind_it_is_waited_for(
    bed: Testbed, cluster: Cluster, whole: ServiceInCluster, load: Begin, judge: Judge, figures: Figures
) -> None:
    jobs = load("lax")
    time.sleep(3)
    assert bed["hub"].kill("gcs_server") == 1
    gone_s = until(lambda: not whole.up(), 150, "the API gone")
    back_s = await_up(whole, *REGIONS, within_s=180)
    time.sleep(2)
    outcomes = jobs.finish()
    figures.note(
        "GCS killed, nothing behind it, its unit starts it again",
        gone_after_s=gone_s,
        back_after_s=back_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, twice=4)


def test_the_gateways_machine_that_loses_power_goes_on_where_it_left_off(
    bed: Testbed, cluster: Cluster, figures: Figures, judge: Judge, target: OutsideTarget
) -> None:
    for name in REGIONS:
        cluster.start_node(name)
    cluster.start_plain_node("gate")
    service = ServiceInCluster(cluster, "gate")
    service.start()
    await_up(service, *REGIONS)
    jobs = Load(bed, service, target, "lax")
    time.sleep(3)
    bed["gate"].lose_power()
    time.sleep(3)
    jobs.stop()
    bed["gate"].boot()
    cluster.start_plain_node("gate", wait=False)
    service.start()
    back_s = await_up(service, *REGIONS, within_s=NODE_BACK_WITHIN_S)
    outcomes = jobs.finish()
    figures.note(
        "the gateway's machine loses power, and boots",
        up_after_boot_s=back_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, twice=8)
