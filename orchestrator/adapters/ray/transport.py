"""A shard's way to nodes: over the Unix socket to those that connect to it, over Ray to the others."""

from orchestrator.domain.ids import NodeAddress, ShardName
from orchestrator.ports.transport import Carrier
from orchestrator.transport.local_link import LocalExchange
from regions.ray_transport import RemoteActor


class NodesOverRay:
    """Batches to nodes; each node bears the name of its actor."""

    def __init__(self, own: ShardName, near: LocalExchange) -> None:
        self._own = own
        self._near = near

    def carrier(self, to: NodeAddress) -> Carrier:
        """Make what carries batches to a node."""
        return self._near.carrier(str(to), RemoteActor(to.node, self._own).deliver)
