"""Machines of their own disks, clocks and addresses, 30 to 60 ms apart; skipped where none can be made."""

from collections.abc import Iterator
from typing import Protocol

import pytest

from bench.testbed.bed import Testbed, running_testbed
from bench.testbed.cluster import Cluster, service_in_cluster
from bench.testbed.load import Outcome, executed_twice, strangers
from bench.testbed.namespaces import why_not
from bench.testbed.service import REGIONS, OutsideTarget, Service, until
from tests.wan.figures import ROUNDS, Figures

REASON = why_not()
BEFORE_S = 2.0
"""Jobs of so long before a fault may be under way when it comes."""
AFTER_S = 5.0
"""And of so long after it: a region may be used again a moment before it can be."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/wan" in str(item.path):
            item.add_marker(pytest.mark.service)
            item.add_marker(pytest.mark.timeout(300 + 300 * ROUNDS))
            item.add_marker(pytest.mark.skipif(REASON is not None, reason=str(REASON)))


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with running_testbed() as bed:
        yield bed


@pytest.fixture
def cluster(bed: Testbed) -> Cluster:
    """A head, and nothing else yet."""
    cluster = Cluster(bed)
    cluster.start_head()
    return cluster


@pytest.fixture
def target(bed: Testbed) -> OutsideTarget:
    return OutsideTarget(bed["net"])


@pytest.fixture
def whole(cluster: Cluster) -> Service:
    """A service whose three regions are up."""
    for name in REGIONS:
        cluster.start_node(name)
    service = service_in_cluster(cluster)
    service.start()
    until(lambda: service.up() == [*REGIONS], what="a service with three regions")
    return service


class Judge(Protocol):
    """What has to hold after every fault."""

    def __call__(self, outcomes: list[Outcome], *, window: tuple[float, float] | None = None) -> None:
        """Judge jobs. ``window`` is when a fault was (Unix s): what it kept from arriving is asked again."""


@pytest.fixture
def judge(bed: Testbed, target: OutsideTarget) -> Judge:
    """No acknowledged job is lost, none but the fault's own executed twice, none from another's address."""

    def judge(outcomes: list[Outcome], *, window: tuple[float, float] | None = None) -> None:
        assert outcomes
        assert [outcome for outcome in outcomes if outcome.state != "success"] == []
        begins, ends = window or (float("inf"), float("-inf"))
        outside = [each for each in outcomes if not begins - BEFORE_S < each.at < ends + AFTER_S]
        assert executed_twice(target, outside) == []
        assert strangers(target, {name: bed[name].address for name in REGIONS}) == []

    return judge
