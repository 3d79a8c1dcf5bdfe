"""The door for region agents: who may come in, as which node, and until when."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from orchestrator.adapters.agents.door_log import DoorLog
from orchestrator.core.key_uses import KeyUses
from orchestrator.core.regions.node import ShardNode, Visitor
from orchestrator.core.regions.peers import PeerBook
from orchestrator.domain.access.roles import Role
from orchestrator.domain.cluster.placement import Placement, PlacementState
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.messages.hello import Hello, Refusal, RefusedError
from orchestrator.messages.names import agent_node
from orchestrator.ports.customers import ApiKey, CustomerStore
from orchestrator.ports.lifecycle import AsyncLifecycle
from orchestrator.ports.store import StoreFailure
from orchestrator.runtime.version import VERSION
from orchestrator.settings import Settings
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.tcp_exchange import Admission, TcpExchange
from orchestrator.transport.visits import Visit

LOOK_EVERY_S = 1.0
"""A revoked key's connections are closed within this, and a moment."""

log = logging.getLogger(__name__)


class AgentDoor(AsyncLifecycle):
    """Lets in who has a region's key, for as long as that is valid. A region is known while a key for it is;
    the first look is the owner's, before the shard begins.

    Args:
        at: Where to listen. A start raises OSError where that can't be.
        customers: Where the keys are.
        node: Gives the shard's own door.
    """

    def __init__(self, at: Gateway, customers: CustomerStore, node: Callable[[], ShardNode]) -> None:
        self._at = at
        self._customers = customers
        self._node = node
        self._key_uses = KeyUses(customers)
        self._keys: dict[str, ApiKey] = {}
        self._since: dict[tuple[NodeAddress, str], int] = {}
        """Since when (Unix ms) each node is at its address."""
        self._looking: asyncio.Task[None] | None = None
        self.exchange = TcpExchange(at, self._admit, VERSION, DoorLog(self._count).tell)

    async def look(self) -> None:
        """Learn which keys are valid now, and with them which regions there are."""
        before, now_ms = self._regions(), self._now_ms()
        self._keys = {key.key_id: key for key in await self._customers.region_keys(now_ms)}
        after, peers = self._regions(), self._node().shard.peers
        for region in after:
            peers.join(region)
        for region in before:
            if region not in after:
                peers.remove(region)
        self._tell_where(peers)
        self.exchange.keep(peers.has)
        self.exchange.hang_up(lambda _, key_id: key_id not in self._keys, "its key is revoked or has expired")
        for here in self.exchange.here():
            self._key_uses.note(here.key_id, now_ms)

    async def _start(self) -> None:
        await self.exchange.start()
        log.info("region agents join at %s%s", self._at, "" if self._at.tls else ", without TLS")
        self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    async def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.exchange.stop()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except StoreFailure as error:
                log.warning("nobody can say which regions' keys are valid: %s", error)

    def _tell_where(self, peers: PeerBook) -> None:
        now_ms = self._now_ms()
        for here in self.exchange.here():
            since = self._since.setdefault((here.node, here.ip), now_ms)
            peers.placed(
                here.node,
                Placement(
                    state=PlacementState.RUNS,
                    since_ms=since,
                    host=here.node.node.partition("@")[0],
                    address=here.ip,
                    version=here.software,
                ),
            )
        self._since = {place: since for place, since in self._since.items() if peers.has(place[0])}

    def _now_ms(self) -> int:
        return self._node().shard.clock.unix_ms()

    def _count(self, visit: Visit) -> None:
        self._node().shard.counters.visits[visit] += 1

    def _regions(self) -> list[RegionName]:
        return list(dict.fromkeys(key.region for key in self._keys.values() if key.region))

    async def _admit(self, hello: Hello) -> Admission:
        caller = await self._customers.caller_of(hello.token, self._now_ms())
        if caller is None:
            raise RefusedError(Refusal("the token is unknown or revoked, or has expired"))
        if caller.role is not Role.REGION:
            raise RefusedError(
                Refusal(f"the token is a key of the role {caller.role}: 'keys create --role region'")
            )
        if caller.key_id not in self._keys:
            await self.look()
        key = self._keys.get(caller.key_id)
        if key is None or key.region != hello.region:
            raise RefusedError(
                Refusal(f"the token is for region {key and key.region}, not for {hello.region}")
            )
        # Whoever holds another key can't bear this name.
        address = NodeAddress(RegionName(hello.region), agent_node(hello.node, key.key_id))
        node = self._node()
        visitor = Visitor(node, address, hello.incarnation, only_named=hello.only_named)
        return Admission(
            address=address,
            key_id=key.key_id,
            shard=node.shard.options.name,
            take=visitor.take,
            answer=visitor.answer,
        )


def make_door(
    settings: Settings, customers: CustomerStore, node: Callable[[], ShardNode]
) -> AgentDoor | None:
    """Make the door for region agents; None where none may join.

    Raises:
        OSError: The certificate or its key can't be read.
    """
    agents = settings.agents_address
    if agents is None:
        return None
    tls = server_tls(settings.tls_cert, settings.tls_key)
    return AgentDoor(Gateway(agents.host, agents.port, tls), customers, node)


def server_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Read the certificate that agents see; None where none is named.

    Raises:
        OSError: A file can't be read, or is no certificate, or not its key (ssl.SSLError).

    """
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    return context
