"""A region runs where a machine offers it and nowhere else, and whoever asks is told where, or why not."""

import pytest

from bench.testbed.bed import Testbed
from bench.testbed.cluster import Cluster, service_in_cluster
from bench.testbed.load import Load, strangers
from bench.testbed.machine import CHECKOUT
from bench.testbed.service import API_PORT, OutsideTarget, Service, until

REFUSED = 2
"""The exit code of a command that waiting would not help."""
BACK_WITHIN_S = 45.0
"""A node whose start failed is made anew after pauses of up to 30 s."""


def test_a_region_that_nobody_offers_waits_for_its_machine_and_is_never_run_elsewhere(
    bed: Testbed, cluster: Cluster, target: OutsideTarget
) -> None:
    cluster.start_node("iad")
    service = service_in_cluster(cluster)
    service.start()
    until(lambda: service.up() == ["iad"], what="the region that is offered")
    strict = Load(bed, service, target, "lax", policy="strict", after_s=0)
    lax = service.regions()["lax"]
    assert (lax["health"], lax["reason"]) == ("down", "no node of the cluster offers region:lax")

    cluster.start_node("lax")
    until(lambda: "lax" in service.up(), what="the region that was offered late")
    outcomes = strict.finish()

    assert {(outcome.state, outcome.region) for outcome in outcomes} == {("success", "lax")}
    assert strangers(target, {"lax": bed["lax"].address}) == []
    [node] = service.regions()["lax"]["nodes"]
    assert (node["host"], node["address"]) == ("lax", bed["lax"].address)


def test_a_machine_without_the_package_is_named_and_used_once_it_has_it(
    bed: Testbed, cluster: Cluster
) -> None:
    bed["ord"].hide(CHECKOUT / "regions")
    for name in ("iad", "ord"):
        cluster.start_node(name)
    service = service_in_cluster(cluster, regions=("iad", "ord"))
    service.start()
    until(lambda: service.up() == ["iad"], what="the region that is well")
    until(lambda: "ModuleNotFoundError" in str(service.regions()["ord"]["reason"]), what="the reason")
    assert service.regions()["ord"]["nodes"][0]["address"] == bed["ord"].address

    bed["ord"].show(CHECKOUT / "regions")

    until(lambda: service.up() == ["iad", "ord"], BACK_WITHIN_S, "the machine that has the package now")


@pytest.mark.parametrize("where", ["hub", "net"])
def test_a_cluster_that_can_not_be_joined_is_told_in_a_line(bed: Testbed, where: str) -> None:
    cluster = Cluster(bed)
    if where == "net":
        cluster.start_head()
    refused = service_in_cluster(cluster, where).start()
    assert refused.wait(60) == REFUSED
    reason = "is not reachable" if where == "hub" else "no Ray node of the cluster"
    assert reason in refused.output().splitlines()[-1]
    assert "Traceback" not in refused.output()


def test_a_wrong_token_is_told_in_a_line(bed: Testbed, cluster: Cluster) -> None:
    bed["hub"].srv.joinpath("other").write_text("0" * 64)
    refused = service_in_cluster(cluster).start(env={"RAY_AUTH_TOKEN_PATH": "/srv/other"})
    assert refused.wait(90) == REFUSED
    assert "token" in refused.output().splitlines()[-1]


def test_a_second_service_in_a_cluster_is_told_that_there_is_one(whole: Service) -> None:
    second = whole.beside().start(port=API_PORT + 1)
    assert second.wait(60) == REFUSED
    assert "another service runs in this cluster" in second.output().splitlines()[-1]
    assert len(whole.up()) == len(whole.regions())


def test_nodes_of_other_machines_connect_within_tls_and_those_of_the_shards_own_do_not(
    bed: Testbed, whole: Service
) -> None:
    come = [f"is here ({bed[region].address}:" for region in whole.regions()]
    until(lambda: all(line in whole.log() for line in come), what="every region's connection")
    assert f"is here ({bed['hub'].address}:" not in whole.log()
