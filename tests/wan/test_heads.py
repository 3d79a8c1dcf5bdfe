"""What happens to jobs when the head of their cluster is lost, or the machine of their gateway."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from msgspec import Struct

from bench.testbed.bed import Testbed
from bench.testbed.cluster import REDIS_MISSING, Cluster, service_in_cluster
from bench.testbed.load import Load, loaded
from bench.testbed.service import REGIONS, OutsideTarget, Service, until
from tests.wan.conftest import Judge
from tests.wan.figures import ROUNDS, Figures

RECOVERED_WITHIN_S = 30.0
"""After head and nodes are back, without a store behind the head."""
BOOTED_WITHIN_S = 15.0
"""After the gateway's machine has booted: the API is back."""
SLACK = 1.8
PATIENCE_S = 180.0


def await_up(service: Service, *regions: str) -> float:
    return until(lambda: set(regions) <= set(service.up()), PATIENCE_S, f"{regions} up")


def pause_most_s(jobs: Load, since: float) -> float:
    """Say how long nobody was given an acknowledgement at most, since a moment (s)."""
    moments = sorted([since, *(at for at in jobs.acknowledged.values() if at > since), time.time()])
    return max(later - earlier for earlier, later in pairwise(moments))


def test_the_gateways_raylet_that_is_killed_takes_the_service_with_it_for_a_while_only(
    bed: Testbed, whole: Service, target: OutsideTarget, judge: Judge, figures: Figures
) -> None:
    with loaded(bed, whole, target, "lax") as jobs:
        time.sleep(3)
        struck = time.time()
        assert bed["hub"].kill("raylet") == 1
        gone_s = until(lambda: not whole.up(), what="the API gone")
        back_s = await_up(whole, *REGIONS)
        time.sleep(2)
        outcomes = jobs.finish()
    figures.note(
        "raylet of the gateway's machine killed",
        gone_after_s=gone_s,
        back_after_s=back_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, window=(struck, struck + gone_s + back_s))


def test_a_head_that_is_lost_without_a_store_behind_it_is_waited_for(
    bed: Testbed, cluster: Cluster, whole: Service, target: OutsideTarget, judge: Judge, figures: Figures
) -> None:
    with loaded(bed, whole, target, "lax") as jobs:
        time.sleep(3)
        struck = time.time()
        assert bed["hub"].kill("gcs_server") == 1
        until(lambda: cluster.starts("hub", *REGIONS) == [2] * 4, PATIENCE_S, "head and nodes back")
        nodes_back = time.time()
        recovered_s = await_up(whole, *REGIONS)
        time.sleep(2)
        outcomes = jobs.finish()
    figures.note(
        "GCS killed, nothing behind it, its unit starts it again",
        must={"recovered_after_s": RECOVERED_WITHIN_S},
        nodes_back_after_s=nodes_back - struck,
        recovered_after_s=recovered_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, window=(struck, nodes_back + recovered_s))
    assert recovered_s < SLACK * RECOVERED_WITHIN_S


class Lost(Struct, frozen=True, kw_only=True):
    """A head that is lost, and comes back: ``lose`` says how often its unit has started it then."""

    name: str
    lose: Callable[[Cluster], int]


def _kill_gcs(cluster: Cluster) -> int:
    [started] = cluster.starts("hub")
    assert cluster.head.kill("gcs_server") == 1
    return started + 1


def _reboot_head(cluster: Cluster) -> int:
    cluster.head.lose_power()
    time.sleep(5)
    cluster.head.boot()
    cluster.start_head(wait=False)
    return 1


LOSSES = (
    Lost(name="its GCS is killed", lose=_kill_gcs),
    Lost(name="its machine loses power, and boots", lose=_reboot_head),
)


@pytest.mark.skipif(bool(REDIS_MISSING), reason=str(REDIS_MISSING))
@pytest.mark.parametrize("lost", LOSSES, ids=[lost.name for lost in LOSSES])
def test_a_head_that_is_lost_with_redis_behind_it_costs_no_job_and_no_acknowledgement(
    bed: Testbed, target: OutsideTarget, judge: Judge, figures: Figures, lost: Lost
) -> None:
    cluster = Cluster(bed, store="gate")
    cluster.start(*REGIONS)
    cluster.start_plain_node("gate")
    service = service_in_cluster(cluster, "gate")
    service.start()
    for _ in range(ROUNDS):
        await_up(service, *REGIONS)
        lose_head(lost, cluster, service, target, judge, figures)


def lose_head(
    lost: Lost, cluster: Cluster, service: Service, target: OutsideTarget, judge: Judge, figures: Figures
) -> None:
    """Lose the head under load, note what was seen, and judge it."""
    with loaded(cluster.bed, service, target, "lax") as jobs:
        time.sleep(3)
        struck = time.time()
        starts = lost.lose(cluster)
        until(lambda: cluster.starts("hub") == [starts], PATIENCE_S, "the head back")
        back_s = time.time() - struck
        # The cluster works again: what needs the GCS comes about.
        assert cluster.bed["lax"].kill("ray::ExecutorAc") == 1
        until(lambda: "lax" not in service.up(), what="lax taken out of use")
        await_up(service, *REGIONS)
        paused_s = pause_most_s(jobs, struck)
        outcomes = jobs.finish()
    figures.note(
        f"head with Redis behind it: {lost.name}",
        must={"refused": 0},
        head_back_after_s=back_s,
        longest_without_acknowledgement_s=paused_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, window=(struck, time.time()))
    assert jobs.refused == 0


def test_the_gateways_machine_that_loses_power_goes_on_where_it_left_off(
    bed: Testbed, cluster: Cluster, figures: Figures, judge: Judge, target: OutsideTarget
) -> None:
    for name in REGIONS:
        cluster.start_node(name)
    cluster.start_plain_node("gate")
    service = service_in_cluster(cluster, "gate")
    service.start()
    for _ in range(ROUNDS):
        await_up(service, *REGIONS)
        lose_gateway(cluster, service, target, judge, figures)


def lose_gateway(
    cluster: Cluster, service: Service, target: OutsideTarget, judge: Judge, figures: Figures
) -> None:
    """Cut the power of the gateway's machine under load, boot it, note what was seen, and judge it."""
    with loaded(cluster.bed, service, target, "lax") as jobs:
        time.sleep(3)
        struck = time.time()
        service.machine.lose_power()
        time.sleep(3)
    service.machine.boot()
    cluster.start_plain_node("gate", wait=False)
    service.start()
    api_s = until(service.answers, PATIENCE_S, "the API back")
    back_s = api_s + await_up(service, *REGIONS)
    outcomes = jobs.finish()
    figures.note(
        "the gateway's machine loses power, and boots",
        must={"api_after_boot_s": BOOTED_WITHIN_S},
        api_after_boot_s=api_s,
        up_after_boot_s=back_s,
        jobs=len(outcomes),
        refused=jobs.refused,
    )
    judge(outcomes, window=(struck, time.time()))
    assert api_s < SLACK * BOOTED_WITHIN_S
