"""The regions' nodes, as this shard knows them: who there is, who takes work, and how to speak to each."""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable

from orchestrator.core.regions.peer import Peer, Region
from orchestrator.core.views import NodeView
from orchestrator.domain.byte_budget import ByteBudget
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.cluster.placement import Placement, PlacementState
from orchestrator.domain.execution.run import Site
from orchestrator.domain.health.routing import (
    RegionHealth,
)
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.domain.mail_room import MailCount
from orchestrator.messages.codec import PARTIAL_BYTES_MOST, BatchReader
from orchestrator.messages.names import WEBHOOK_REGION
from orchestrator.messages.types import Message
from orchestrator.ports.clock import Clock
from orchestrator.ports.lifecycle import AsyncCloseable
from orchestrator.ports.links import RegionLinks

WEBHOOKS = WEBHOOK_REGION
NODES_MOST = 64
"""Of a region."""

Listed = Collection[RegionName] | None
"""The regions that a job lists; None for a job that may go wherever anything goes."""


class PeerBook(AsyncCloseable):
    """Finds nodes and regions. Who is alive the failure detector says.

    Args:
        expected: A node of every region there is to be. Others of these regions are known once they beat,
            and others than these regions once they join.
        links: Makes the links to them.
        clock: Time.
    """

    def __init__(self, expected: Iterable[NodeAddress], links: RegionLinks, clock: Clock) -> None:
        self._links = links
        self._fragments = ByteBudget(PARTIAL_BYTES_MOST)
        self._nodes = {address: self._peer(address) for address in expected}
        self._regions = {peer.name: Region(peer.name, [peer]) for peer in self._nodes.values()}
        self._expected = [peer for peer in self._nodes.values() if peer.name != WEBHOOKS]
        self._for_jobs = [region for name, region in self._regions.items() if name != WEBHOOKS]
        self.names = [region.name for region in self._for_jobs]
        """The regions that jobs may name; it follows what joins and what is removed."""
        self._joined: set[RegionName] = set()
        self.drains: dict[RegionName, Drain] = {}
        """Which regions an operator has taken out of service, whether they are known now or not."""
        self._clock = clock
        self._begun_at = float("inf")
        self._on_room: Callable[[Peer], None] = lambda _: None

    def begin(self, on_room: Callable[[Peer], None] = lambda _: None) -> None:
        """Begin a life of the shard: nobody has been heard yet. ``on_room`` takes a node that may be sent
        more, after there was no room for what waits.
        """
        self._on_room = on_room
        self._begun_at = self._clock.now()
        for peer in self._nodes.values():
            peer.down_since = self._begun_at

    def join(self, name: RegionName) -> None:
        """Know a region whose nodes come by themselves: it is DOWN until one is heard."""
        if name in self.names:
            return
        if name not in self._regions:
            self._regions[name] = Region(name, [], self._clock.now(), self.drains.get(name))
            self._joined.add(name)
        self._for_jobs.append(self._regions[name])
        self.names.append(name)

    def remove(self, name: RegionName) -> None:
        """Know a region that has joined no longer: no job may name it, and none goes there."""
        if name in self._joined and name in self.names:
            self._for_jobs.remove(self._regions[name])
            self.names.remove(name)

    def drain(self, name: RegionName, drain: Drain | None) -> list[Peer]:
        """Place nothing new in a region from now on, or (None) let it take work again; give the nodes that do
        so then.
        """
        self.drains.pop(name, None)
        if drain is not None:
            self.drains[name] = drain
        if (region := self._regions.get(name)) is None:
            return []
        region.drain = drain
        return [node for node in region.nodes if drain is None and node.health is RegionHealth.UP]

    def post(self, to: NodeAddress, message: Message, count: MailCount | None = None) -> None:
        """Send a message to a node that may be gone; where ``count`` is given, that counts it."""
        if (node := self._nodes.get(to)) is not None:
            node.link.post(message, count)
        elif count is not None:
            count.give_back(0)

    def takes_mail(self, name: RegionName) -> bool:
        """Whether there is room for what waits to be sent to the node that gets what comes next."""
        return self._regions[name].next_node(named=True).link.mail.admits()

    def find(self, address: NodeAddress) -> Peer | None:
        """Find a node; None where there is none."""
        return self._nodes.get(address)

    def has(self, address: NodeAddress) -> bool:
        """Whether there is such a node: it is expected, or has beaten."""
        return address in self._nodes

    def knows(self, name: RegionName) -> bool:
        """Whether there is such a region: a job may name one that was taken out of service."""
        return name in self._regions

    def default(self) -> RegionName | None:
        """Name the region of jobs that name none: the first that is not for those that name it only."""
        return next((region.name for region in self._for_jobs if not region.only_named), None)

    def peer(self, name: RegionName, *, named: bool = True) -> Peer:
        """Choose the node of a region that gets what comes next: of a job that names it, or does not."""
        return self._regions[name].next_node(named=named)

    def site(self, name: RegionName, *, named: bool) -> Site:
        """Say which node that is, and at which address, if it is known."""
        peer = self._regions[name].next_node(named=named)
        return peer.address.node, peer.placement.address if peer.placement else None

    def regions_up(self, listed: Listed = None) -> list[RegionName]:
        """Name the regions that take work now: of a job that lists some, or of any job."""
        return [region.name for region in self._for_jobs if region.takes_jobs(named=_named(region, listed))]

    def is_up(self, name: RegionName, *, named: bool) -> bool:
        """Whether a region can be sent a job that names it, or does not; one that drains can, too."""
        return self._regions[name].is_up(named=named)

    def regions_with_credit(self, listed: Listed = None) -> list[RegionName]:
        """Name the regions that take work now and have room for it: of a job that lists some, or of any."""
        return [region.name for region in self._for_jobs if region.takes_work(named=_named(region, listed))]

    def down_s(self, name: RegionName) -> float:
        """Say for how many seconds a region has been DOWN; 0 while it is not. One that is not there any more
        has been since this shard began.
        """
        region = self._regions.get(name)
        if region is None:
            return self._clock.now() - self._begun_at
        return self._clock.now() - region.down_since if region.health is RegionHealth.DOWN else 0.0

    def all_regions_heard(self) -> bool:
        """Whether every node that is expected works for this shard, or did."""
        return all(peer.incarnation for peer in self._expected)

    def nothing_is_left_of_before(self) -> bool:
        """Whether what an earlier life of this shard began is certainly closed. Of those who come by
        themselves nobody knows how many there were.
        """
        return not self._joined and self.all_regions_heard()

    def all(self) -> list[Peer]:
        """List every node."""
        return list(self._nodes.values())

    def placed(self, address: NodeAddress, placement: Placement) -> None:
        """Take note of where a node runs, or why it does not."""
        peer = self._nodes.get(address)
        if peer is not None:
            peer.placement = placement
            peer.leaving = placement.state is PlacementState.LEAVING

    def attempts_open(self, address: NodeAddress) -> int:
        """Count the attempts that a node has; 0 for one that is not known."""
        peer = self._nodes.get(address)
        return 0 if peer is None else peer.attempts_open

    def node_is_up(self, address: NodeAddress) -> bool:
        """Whether a node works for this shard; one that is not known does not."""
        peer = self._nodes.get(address)
        return peer is not None and peer.health is RegionHealth.UP

    def view(self, peer: Peer) -> NodeView:
        """Show a node."""
        now = self._clock.now()
        heard_s, reached_s = now - peer.last_heard, now - peer.reached_at
        return NodeView(
            name=peer.address.node,
            health=peer.health,
            placement=peer.placement,
            only_named=peer.only_named,
            heard_s=None if math.isinf(heard_s) else heard_s,
            reached_s=None if math.isinf(reached_s) else reached_s,
            reason="" if peer.health is RegionHealth.UP else _reason(peer, heard_s),
        )

    async def close(self) -> None:
        """Close every link."""
        for peer in self._nodes.values():
            await peer.link.close()

    def find_or_add(self, address: NodeAddress) -> Peer | None:
        """Find a node, or know it from now on as a further one of its region; None where there is no such
        region, or no room.
        """
        if (known := self._nodes.get(address)) is not None:
            return known
        region = self._regions.get(address.region)
        if region is None or address.region not in (*self.names, WEBHOOKS) or not self._make_room(region):
            return None
        peer = self._nodes[address] = self._peer(address)
        peer.down_since = self._begun_at
        region.nodes.append(peer)
        return peer

    def _peer(self, address: NodeAddress) -> Peer:
        peer = Peer(address, self._links.link(address), BatchReader(self._fragments, str(address)))
        peer.link.mail.on_room = lambda: self._tell_of_room(peer)
        return peer

    def _tell_of_room(self, peer: Peer) -> None:
        # Not at once: whoever lets go of what waits may be about to say that the node is gone.
        asyncio.get_running_loop().call_soon(self._on_room, peer)

    def _make_room(self, region: Region) -> bool:
        """Forget nodes that are gone for good, where a region has very many: names of new ones are free."""
        gone = [
            node
            for node in region.nodes
            if node.health is RegionHealth.DOWN and node not in self._expected and not node.attempts_open
        ]
        while len(region.nodes) >= NODES_MOST and gone:
            node = gone.pop(0)
            region.nodes.remove(node)
            del self._nodes[node.address]
            node.reader.forget()
            # What is still posted to who was DOWN would go again and again, and have its room, for ever.
            node.link.readdress(0, "")
        return len(region.nodes) < NODES_MOST

    def regions(self) -> list[Region]:
        """List the regions that jobs may run in."""
        return self._for_jobs

    def region(self, name: RegionName) -> Region:
        """Look a region up."""
        return self._regions[name]


def _named(region: Region, listed: Listed) -> bool:
    return listed is None or region.name in listed


def _reason(peer: Peer, heard_s: float) -> str:
    placement = peer.placement
    if placement is not None and placement.state not in (PlacementState.RUNS, PlacementState.LEAVING):
        return placement.reason
    if peer.out_of_reach:
        return "it is heard, but what is sent to it does not arrive"
    return "it was not heard yet" if math.isinf(heard_s) else f"heard last {heard_s:.1f} s ago"
