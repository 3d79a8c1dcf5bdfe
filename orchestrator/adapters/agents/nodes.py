"""A shard's way to nodes, some of which are agents."""

from orchestrator.domain.ids import NodeAddress
from orchestrator.messages.names import is_agent
from orchestrator.ports.transport import Carrier, NodeTransport
from orchestrator.transport.tcp_exchange import TcpExchange


class NodesAndAgents:
    """A shard's way to all nodes: to agents through their door, to the others as ever."""

    def __init__(self, nodes: NodeTransport, agents: TcpExchange) -> None:
        self._nodes = nodes
        self._agents = agents

    def carrier(self, to: NodeAddress) -> Carrier:
        """Make what carries batches to a node."""
        return self._agents.carrier(to) if is_agent(to) else self._nodes.carrier(to)
