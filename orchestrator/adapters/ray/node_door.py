"""The door for the cluster's nodes on other machines: they are invited over Ray, and come in within TLS."""

import logging
import secrets
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any

import ray

from orchestrator.adapters.agents.door_log import DoorLog
from orchestrator.core.regions.node import ShardNode
from orchestrator.domain.ids import NodeAddress
from orchestrator.messages.hello import Hello, Invitation, Refusal, RefusedError, written
from orchestrator.ports.lifecycle import AsyncLifecycle, Stage
from orchestrator.ports.transport import Carrier
from orchestrator.runtime.version import VERSION
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.own_certificate import own_tls
from orchestrator.transport.tcp_exchange import Admission, TcpExchange

TOKEN_BYTES = 32

log = logging.getLogger(__name__)


class NodeDoor(AsyncLifecycle):
    """Lets in whom it has invited, as long as it is open: Ray says who that is, and its token that it is in
    the cluster.

    Args:
        host: This machine's address in the cluster.
        port: Where to listen; 0 lets the system choose. A start raises OSError where that can't be.
        node: Gives the shard's own door.
        otherwise: Makes what carries batches to a node while that has no connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        node: Callable[[], ShardNode],
        otherwise: Callable[[NodeAddress], Carrier],
    ) -> None:
        self._host = host
        self._node = node
        tls, self._certificate = own_tls(host)
        # Strangers come to this port, too. Those at the door for agents are counted, and not these.
        tell = DoorLog(lambda _visit: None).tell
        self.exchange = TcpExchange(Gateway(host, port, tls), self._admit, VERSION, tell, otherwise)
        self._tokens: dict[NodeAddress, str] = {}

    def invite(self, node: NodeAddress) -> bytes | None:
        """Tell a node how it comes in, by an ``Invitation``; None while nobody can."""
        if self.stage is not Stage.UP:
            return None
        invitation = Invitation(
            host=self._host,
            port=self.exchange.port,
            certificate=self._certificate,
            token=self._tokens.setdefault(node, secrets.token_hex(TOKEN_BYTES)),
        )
        return written(invitation)

    async def _start(self) -> None:
        await self.exchange.start()
        log.info("nodes of other machines connect to %s:%d", self._host, self.exchange.port)

    async def _stop(self) -> None:
        await self.exchange.stop()

    async def _admit(self, hello: Hello) -> Admission:
        for address, token in self._tokens.items():
            if secrets.compare_digest(token.encode(), hello.token.encode()):
                return self._admission(address)
        raise RefusedError(Refusal("this life of the shard gave no such token", final=False))

    def _admission(self, address: NodeAddress) -> Admission:
        node = self._node()
        return Admission(
            address=address,
            key_id="",
            shard=node.shard.options.name,
            take=node.taker(address),
            answer=partial(node.heartbeat, address),
        )


def make_node_door(
    port: int, node: Callable[[], ShardNode], otherwise: Callable[[NodeAddress], Carrier]
) -> NodeDoor | None:
    """Make the door on this machine; None where Ray is on this machine alone."""
    # Ray's type hints do not know this call's result.
    util: Any = ray.util
    host: str = util.get_node_ip_address()
    return None if ip_address(host).is_loopback else NodeDoor(host, port, node, otherwise)
