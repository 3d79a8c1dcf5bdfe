"""How the actors of a service are made, by `serve` and by the controller."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from orchestrator.domain.ids import NodeAddress
from orchestrator.messages import names
from orchestrator.settings import Settings
from regions.ray_actor import ExecutorActor, WebhookActor

LASTING = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0}
"""Nothing asks for a CPU, and whatever dies is started again; but no call is made twice by Ray."""


def remote_shard(kind: type, **options: Any) -> Callable[..., Any]:
    """Give what makes a shard's actor of a class, of its own arguments."""
    # Ray's type hints know no concurrency groups.
    cluster: Any = ray
    remote = cluster.remote(concurrency_groups={names.CONTROL_GROUP: 100})
    make: Callable[..., Any] = remote(kind).options(max_concurrency=1000, **LASTING, **options).remote
    return make


def node_maker(address: NodeAddress, settings: dict[str, Any], **options: Any) -> Callable[[], Any]:
    """Give what makes a node's actor: a region's, or that of the webhooks. ``settings`` are
    ``options_for_nodes``.
    """
    cluster: Any = ray
    kind = WebhookActor if address.region == names.WEBHOOK_REGION else ExecutorActor
    make = cluster.remote(kind).options(name=address.node, max_concurrency=1000, **LASTING, **options).remote
    return lambda: make(str(address), settings)


def options_for_nodes(settings: Settings, socket: Path) -> dict[str, Any]:
    """Write down for nodes what concerns them. They may be on other machines: no path of this one's is in it;
    ``socket`` is where in the temporary directory of its machine the shard listens.
    """
    return {
        "allow_private_targets": settings.allow_private_targets,
        "allow_targets": settings.allow_targets,
        "max_response_bytes": settings.max_response_bytes,
        "webhook_places": settings.webhook_max_concurrent,
        "shards": {names.SHARD: str(socket)},
    }
