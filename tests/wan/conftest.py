"""Machines of their own disks, clocks and addresses, 30 to 60 ms apart; skipped where none can be made."""

from collections.abc import Callable, Iterator

import pytest

from bench.testbed.bed import Testbed, running_testbed
from bench.testbed.cluster import REGIONS, Cluster, OutsideTarget, ServiceInCluster, until
from bench.testbed.load import Load, Outcome, executed_twice, strangers
from bench.testbed.namespaces import why_not
from tests.wan.figures import Figures

REASON = why_not()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/wan" in str(item.path):
            item.add_marker(pytest.mark.service)
            item.add_marker(pytest.mark.timeout(600))
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
def whole(cluster: Cluster) -> ServiceInCluster:
    """A service whose three regions are up."""
    for name in REGIONS:
        cluster.start_node(name)
    service = ServiceInCluster(cluster)
    service.start()
    until(lambda: service.up() == [*REGIONS], what="a service with three regions")
    return service


Judge = Callable[[list[Outcome]], None]


@pytest.fixture
def judge(bed: Testbed, target: OutsideTarget) -> Judge:
    """What has to hold after every fault: no acknowledged job lost, no request from another's address."""

    def judge(outcomes: list[Outcome], *, twice: int = 0) -> None:
        assert outcomes
        assert [outcome for outcome in outcomes if outcome.state != "success"] == []
        assert len(executed_twice(target, outcomes)) <= twice
        assert strangers(target, {name: bed[name].address for name in REGIONS}) == []

    return judge


@pytest.fixture
def load(bed: Testbed, whole: ServiceInCluster, target: OutsideTarget) -> Iterator[Callable[..., Load]]:
    """Begin to submit jobs for a region; what was begun ends with the test."""
    begun: list[Load] = []

    def begin(region: str, **options: object) -> Load:
        begun.append(Load(bed, whole, target, region, **options))  # type: ignore[arg-type]  # as Load says
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()
