"""A service with its regions on the testbed, by Ray nodes and by agents, for faults to befall either."""

from abc import ABC, abstractmethod

from bench.testbed.agents import Agents
from bench.testbed.bed import Testbed
from bench.testbed.cluster import Cluster, service_in_cluster
from bench.testbed.service import REGIONS, Service, until

EXECUTOR = "ray::ExecutorAc"
"""The name of its process: the first 15 characters."""


class World(ABC):
    """Machines of which three are regions, each kept going by its unit, and a service on another one."""

    kind: str
    service: Service

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed

    def start(self) -> None:
        """Start everything, and wait until all regions are up."""
        self.service.start()
        self._start_regions()
        until(lambda: sorted(self.service.up()) == [*REGIONS], what="a service with three regions")

    @abstractmethod
    def _start_regions(self) -> None:
        """Start what runs on the regions' machines."""

    @abstractmethod
    def executors(self, region: str) -> list[int]:
        """Give the process ids of what sends a region's requests."""

    @abstractmethod
    def boot(self, region: str) -> None:
        """Switch a region's machine on again, and with it its unit."""


class RayNodes(World):
    """Regions are nodes of a Ray cluster."""

    kind = "Ray nodes"

    def __init__(self, bed: Testbed) -> None:
        super().__init__(bed)
        self.cluster = Cluster(bed)
        self.cluster.start_head()
        self.service = service_in_cluster(self.cluster)

    def _start_regions(self) -> None:
        for region in REGIONS:
            self.cluster.start_node(region)

    def executors(self, region: str) -> list[int]:
        """Give the process ids of what sends a region's requests."""
        return self.bed[region].pids(EXECUTOR)

    def boot(self, region: str) -> None:
        """Switch a region's machine on again, and with it its unit."""
        self.bed[region].boot()
        self.cluster.start_node(region, wait=False)


class RegionAgents(World):
    """Regions are agents; the service has a Ray of its own."""

    kind = "agents"

    def __init__(self, bed: Testbed) -> None:
        super().__init__(bed)
        self._agents = Agents(bed)
        self.service = self._agents.service

    def _start_regions(self) -> None:
        self._agents.start(*REGIONS)

    def executors(self, region: str) -> list[int]:
        """Give the process ids of what sends a region's requests."""
        return self._agents.pids(region)

    def boot(self, region: str) -> None:
        """Switch a region's machine on again, and with it its unit."""
        self.bed[region].boot()
        self._agents.start(region)


WORLDS = (RayNodes, RegionAgents)
