"""What a topology means for a cluster: which actors there are to be, and how each is made."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.ray.deployed_shard import DeployedShardActor
from orchestrator.adapters.ray.making import node_maker, options_for_nodes, remote_shard
from orchestrator.domain.cluster.deployment import SHARD_GROUP, Part, digest_of
from orchestrator.domain.ids import NodeAddress, NodeName, RegionName
from orchestrator.messages import names
from orchestrator.settings import Settings

DETACHED = {"lifetime": "detached", "namespace": names.NAMESPACE, "get_if_exists": True}
"""What is made outlives whoever made it; and since a name says what the actor is made of, one that is there
is it.
"""


class Deployment:
    """Settings, regions and code, and what follows from them.

    Args:
        carried: The settings of the shard and its gateway, regions included.
        regions: How many executors each has.
        build: The code that all of them run on.
    """

    def __init__(self, carried: dict[str, str], regions: Mapping[str, int], build: str) -> None:
        self.carried, self.build = carried, build
        self.settings = Settings.carried(carried)
        socket = Path(f"ezt-{digest_of(str(self.settings.data_dir))}", f"{names.SHARD}.sock")
        self._options = options_for_nodes(self.settings, socket) | {"build": build}
        nodes = digest_of(json.dumps(self._options, sort_keys=True))
        shard = digest_of(*carried.values(), nodes)
        counts = {RegionName(name): count for name, count in regions.items()}
        self.parts = names.parts_of(counts, shard, nodes)
        self.name = f"{names.CONTROLLER}.{digest_of(shard, json.dumps(counts))}"
        self._socket = str(socket)

    def maker(self, part: Part) -> Callable[[], Any]:
        """Give what makes a part's actor, or finds it where it is there."""
        options = {"resources": {part.resource: 1}, **DETACHED}
        if part.group == SHARD_GROUP:
            make = remote_shard(DeployedShardActor, name=part.name, **options)
            expected = [str(address_of(part.name, part.group)) for part in self._first_nodes()]
            return lambda: make(self.carried, self._socket, expected, self.build)
        return node_maker(address_of(part.name, part.group), self._options, **options)

    def _first_nodes(self) -> list[Part]:
        """List a node of each region: how many more there are is no matter of the shard's."""
        first = {part.group: part for part in reversed(self.parts) if part.group != SHARD_GROUP}
        return [part for part in self.parts if first.get(part.group) is part]


def address_of(actor: str, group: str) -> NodeAddress:
    """Say where a node is: it bears its actor's name."""
    return NodeAddress(RegionName(group), NodeName(actor))
