"""What the Ray actors are called, and the resource that ties one to a region's nodes."""

from collections.abc import Iterable, Mapping

from orchestrator.domain.cluster.deployment import DIGEST_LENGTH, SHARD_GROUP, Part
from orchestrator.domain.ids import NodeAddress, NodeName, RegionName, ShardName

NAMESPACE = "ezthrottle"
SHARD = ShardName("shard-0")
WEBHOOKS = "webhooks"
WEBHOOK_REGION = RegionName("@webhooks")
"""Where the webhook actor is, among the regions; none of these can bear that name."""
WEBHOOK_NODE = NodeAddress(WEBHOOK_REGION, NodeName(WEBHOOKS))
CONTROLLER = "controller"
GATEWAY_RESOURCE = "gateway"
"""What the machine offers that has the shard, its gateway and its disk."""
CONTROL_GROUP = "control"
"""The concurrency group of health calls: they get through when the hot path is full."""


def executor_name(region: str) -> str:
    """Name a region's executor."""
    return f"executor-{region}"


def executor_address(region: RegionName) -> NodeAddress:
    """Say where a region's executor is: its node bears its actor's name."""
    return NodeAddress(region, NodeName(executor_name(region)))


def expected_nodes(regions: Iterable[RegionName]) -> list[NodeAddress]:
    """Name the nodes that there are to be: an executor for each region, and the webhook actor."""
    return [*map(executor_address, regions), WEBHOOK_NODE]


def agent_node(name: str, key_id: str) -> NodeName:
    """Name an agent's node: what it calls itself, and the key that it came with, so that only who has that
    bears the name.
    """
    return NodeName(f"{name}@{key_id}")


def is_agent(address: NodeAddress) -> bool:
    """Whether a node is one that came in by a key."""
    return "@" in address.node


def region_resource(region: str) -> str:
    """Name the resource that nodes of a region offer."""
    return f"region:{region}"


def parts_of(regions: Mapping[RegionName, int], shard: str, nodes: str) -> list[Part]:
    """List the actors that a deployment has, the shard first: executors by region, as many as it says.
    ``shard`` and ``nodes`` are the digests of what these are made of: names end with them.
    """
    return [
        Part(f"{SHARD}.{shard}", SHARD_GROUP, GATEWAY_RESOURCE),
        Part(f"{WEBHOOKS}.{nodes}", WEBHOOK_REGION, GATEWAY_RESOURCE),
        *(
            Part(f"{executor_name(region)}-{number}.{nodes}", region, region_resource(region))
            for region, count in regions.items()
            for number in range(1, count + 1)
        ),
    ]


def group_of(actor: str) -> str | None:
    """Say what a deployed actor is a part of; None where it was not deployed, and bears no digest."""
    stem, _, digest = actor.rpartition(".")
    if len(digest) != DIGEST_LENGTH:
        return None
    if stem.startswith(executor_name("")):
        return stem.removeprefix(executor_name("")).rpartition("-")[0]
    return {SHARD: SHARD_GROUP, WEBHOOKS: WEBHOOK_REGION}.get(ShardName(stem))
