"""What the Ray actors are called, and the resource that ties one to a region's nodes."""

from collections.abc import Iterable

from orchestrator.domain.ids import NodeAddress, NodeName, RegionName, ShardName

NAMESPACE = "ezthrottle"
SHARD = ShardName("shard-0")
WEBHOOKS = "webhooks"
WEBHOOK_REGION = RegionName("@webhooks")
"""Where the webhook actor is, among the regions; none of these can bear that name."""
WEBHOOK_NODE = NodeAddress(WEBHOOK_REGION, NodeName(WEBHOOKS))
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
