"""The regions' nodes, as this shard knows them: who is alive, and how to speak to each."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from orchestrator.core.views import NodeView
from orchestrator.domain.draining import Drain
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.domain.placement import Placement, PlacementState
from orchestrator.domain.routing import (
    ATTEMPTS_CREDIT,
    FENCED_AFTER_S,
    HEARTBEAT_EVERY_S,
    SUSPECT_AFTER_S,
    RegionHealth,
    health,
)
from orchestrator.domain.run import Site
from orchestrator.messages.names import WEBHOOK_REGION
from orchestrator.messages.types import Heartbeat, HeartbeatReply, Message
from orchestrator.ports.clock import Clock
from orchestrator.ports.links import RegionLink, RegionLinks

WEBHOOKS = WEBHOOK_REGION
BYTES_CREDIT = 64 * 1024 * 1024
LIVES_KEPT = 100
NODES_MOST = 64
"""Of a region."""

Listed = Collection[RegionName] | None
"""The regions that a job lists; None for a job that may go wherever anything goes."""


@dataclass(slots=True, eq=False)
class Peer:
    """One node. ``incarnation`` is empty until it was heard; ``lives`` are all that ever beat, in the
    order of their first heartbeats.
    """

    address: NodeAddress
    link: RegionLink
    incarnation: str = ""
    last_heard: float = float("-inf")
    out_of_reach: bool = False
    """Whether what is sent to it does not arrive: it can be heard all the same."""
    left: bool = False
    """Whether it has ended its work for this shard since it was last heard to do any."""
    health: RegionHealth = RegionHealth.DOWN
    down_since: float = float("inf")
    attempts_open: int = 0
    bytes_open: int = 0
    vitals: dict[str, float] = field(default_factory=dict)
    """What it last said of itself, for the metrics."""
    reached_at: float = float("-inf")
    """When it last heard a reply, as far as it has said so."""
    placement: Placement | None = None
    """Where it runs, or why it does not, where somebody has said so."""
    beats: int = 0
    """The number of the latest heartbeat of this incarnation."""
    only_named: bool = False
    """Whether it takes only jobs that name its region."""
    places: int = ATTEMPTS_CREDIT
    """How many attempts it can take at once: fewer where it runs short of descriptors."""
    lives: deque[str] = field(default_factory=lambda: deque(maxlen=LIVES_KEPT))

    @property
    def name(self) -> RegionName:
        """Its region."""
        return self.address.region

    @property
    def takes_work(self) -> bool:
        """Whether it is up and has room for another attempt."""
        return self.health is RegionHealth.UP and self.has_credit

    @property
    def has_credit(self) -> bool:
        """Whether the executor can take another attempt."""
        return self.attempts_open < self.places and self.bytes_open < BYTES_CREDIT

    def has_closed_all(self, beat: Heartbeat) -> bool:
        """Whether it says that replies have not reached it for so long that it has fenced itself. Only its
        latest heartbeat tells: a late one may be from before a reply that did.
        """
        latest, self.beats = beat.number > self.beats, max(self.beats, beat.number)
        return latest and beat.heard_s is not None and beat.heard_s >= FENCED_AFTER_S

    def has_left(self, beat: Heartbeat) -> bool:
        """Whether it worked for this shard, and says by its latest heartbeat that it does so no longer."""
        return beat.incarnation == self.incarnation and beat.number > self.beats

    def outlived(self, incarnation: str) -> bool:
        """Whether the one that works for this shard is a later one than this."""
        if not {incarnation, self.incarnation} <= set(self.lives):
            return False
        return self.lives.index(incarnation) < self.lives.index(self.incarnation)


@dataclass(slots=True)
class Region:
    """The nodes of a region. It is as well as the best of them, and DOWN while it has none.

    ``known_since`` (monotonic s) is when this shard heard that there is such a region.
    """

    name: RegionName
    nodes: list[Peer]
    known_since: float = float("inf")
    drain: Drain | None = None
    """Where an operator has taken it out of service: it takes nothing new."""

    @property
    def health(self) -> RegionHealth:
        """UP while any node is, DOWN once all are."""
        if len(self.nodes) == 1:
            return self.nodes[0].health
        return min((node.health for node in self.nodes), key=_BEST_FIRST.index, default=RegionHealth.DOWN)

    def is_up(self, *, named: bool) -> bool:
        """Whether any node takes jobs now, such as name this region or others."""
        return any(node.health is RegionHealth.UP and (named or not node.only_named) for node in self.nodes)

    def takes_jobs(self, *, named: bool) -> bool:
        """Whether any node takes what is placed now: not while the region drains."""
        return self.drain is None and self.is_up(named=named)

    def takes_work(self, *, named: bool) -> bool:
        """Whether any node does so and has room."""
        if self.drain is not None:
            return False
        # A loop: this is asked several times for each attempt.
        for node in self.nodes:
            if node.health is RegionHealth.UP and node.has_credit and (named or not node.only_named):
                return True
        return False

    @property
    def only_named(self) -> bool:
        """Whether no node takes jobs that do not name this region, as far as they have been heard."""
        return bool(self.nodes) and all(node.only_named for node in self.nodes)

    @property
    def attempts_open(self) -> int:
        """Attempts that its nodes have."""
        return sum(node.attempts_open for node in self.nodes)

    @property
    def bytes_open(self) -> int:
        """Of the requests that its nodes have."""
        return sum(node.bytes_open for node in self.nodes)

    @property
    def down_since(self) -> float:
        """Since when no node is heard, where none is (monotonic s)."""
        return max((node.down_since for node in self.nodes), default=self.known_since)

    def next_node(self, *, named: bool) -> Peer:
        """Choose who gets what comes next: of those that take work the one with the least. What does not name
        this region goes to a node for such only, if there is one.
        """
        if len(self.nodes) == 1:
            return self.nodes[0]
        return min(
            self.nodes,
            key=lambda node: (
                node.only_named and not named,
                not node.takes_work,
                _BEST_FIRST.index(node.health),
                node.attempts_open,
            ),
        )


class PeerBook:
    """Judges nodes by their heartbeats.

    Args:
        expected: A node of every region there is to be. Others of these regions are known once they beat,
            and others than these regions once they join.
        links: Makes the links to them.
        clock: Time.
        on_up: Told of a peer that may take work (again): it is heard, or has more places.
        on_lost: Told of a peer that lost what it had: it went down, or came back as another.
    """

    def __init__(
        self,
        expected: Iterable[NodeAddress],
        links: RegionLinks,
        clock: Clock,
        *,
        on_up: Callable[[Peer], None],
        on_lost: Callable[[Peer], None],
    ) -> None:
        self._links = links
        self._nodes = {address: Peer(address, links.link(address)) for address in expected}
        self._regions = {peer.name: Region(peer.name, [peer]) for peer in self._nodes.values()}
        self._expected = [peer for peer in self._nodes.values() if peer.name != WEBHOOKS]
        self._for_jobs = [region for name, region in self._regions.items() if name != WEBHOOKS]
        self.names = [region.name for region in self._for_jobs]
        """The regions that jobs may name; it follows what joins and what is removed."""
        self._joined: set[RegionName] = set()
        self.drains: dict[RegionName, Drain] = {}
        """Which regions an operator has taken out of service, whether they are known now or not."""
        self._clock = clock
        self._on_up = on_up
        self._on_lost = on_lost
        self._epoch = 0
        self._last_judged = clock.now()
        self._begun_at = float("inf")

    def begin(self, epoch: int) -> None:
        """Start judging, under this shard's fencing number."""
        self._epoch = epoch
        self._last_judged = self._begun_at = self._clock.now()
        for peer in self._nodes.values():
            peer.down_since = self._last_judged
        self._clock.call_at(self._last_judged + HEARTBEAT_EVERY_S, self._judge_for_ever)

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

    def drain(self, name: RegionName, drain: Drain | None) -> None:
        """Place nothing new in a region from now on, or (None) let it take work again."""
        self.drains.pop(name, None)
        if drain is not None:
            self.drains[name] = drain
        if (region := self._regions.get(name)) is not None:
            region.drain = drain
            for node in region.nodes if drain is None else ():
                if node.health is RegionHealth.UP:
                    self._on_up(node)

    def post(self, to: NodeAddress, message: Message) -> None:
        """Send a message to a node that may be gone."""
        if (node := self._nodes.get(to)) is not None:
            node.link.post(message)

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

    def heard(
        self, sender: NodeAddress, beat: Heartbeat, boot_id: str, *, only_named: bool = False
    ) -> HeartbeatReply:
        """Take a node's heartbeat. A peer counts as up once it works for this shard's epoch; the reply to one
        that was replaced says that it works for none. ``only_named``: it takes only jobs that name its
        region.
        """
        reply = HeartbeatReply(self._epoch, self._clock.now(), boot_id)
        peer = self._nodes.get(sender) or self._welcome(sender)
        if peer is None:
            return reply
        if beat.incarnation not in peer.lives:
            peer.lives.append(beat.incarnation)
        if self._refuses(peer, beat):
            return replace(reply, epoch=0)
        if beat.epoch != self._epoch:
            if peer.has_left(beat):
                # What it is given before it works for this shard again would be lost with what it has left.
                peer.left = True
                self.doubt(peer)
            return reply
        self._lose_what_was_left(peer)
        if peer.incarnation != beat.incarnation:
            self._replace(peer, beat.incarnation)
        peer.last_heard = self._clock.now()
        peer.vitals = beat.vitals
        peer.only_named = only_named
        if beat.heard_s is not None:
            peer.reached_at = peer.last_heard - beat.heard_s
        if peer.has_closed_all(beat):
            self._lower(peer, RegionHealth.DOWN)
            return reply
        was_up, had_credit = peer.health is RegionHealth.UP, peer.has_credit
        peer.health = RegionHealth.UP
        peer.places = ATTEMPTS_CREDIT if beat.places is None else min(ATTEMPTS_CREDIT, beat.places)
        if not was_up or (peer.has_credit and not had_credit):
            self._on_up(peer)
        return reply

    def placed(self, address: NodeAddress, placement: Placement) -> None:
        """Take note of where a node runs, or why it does not."""
        peer = self._nodes.get(address)
        if peer is not None:
            peer.placement = placement

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

    def doubt(self, peer: Peer) -> None:
        """Its lease has run out, or it has left: no new work for it until it is heard again."""
        if peer.health is RegionHealth.UP:
            peer.health = RegionHealth.SUSPECT

    async def close(self) -> None:
        """Close every link."""
        for peer in self._nodes.values():
            await peer.link.close()

    def _welcome(self, address: NodeAddress) -> Peer | None:
        """Know a further node of a region from now on; None where there is no such region, or no room."""
        region = self._regions.get(address.region)
        if region is None or address.region not in (*self.names, WEBHOOKS) or not self._make_room(region):
            return None
        peer = self._nodes[address] = Peer(address, self._links.link(address), down_since=self._begun_at)
        region.nodes.append(peer)
        return peer

    def _refuses(self, peer: Peer, beat: Heartbeat) -> bool:
        # A heartbeat of a dead incarnation may come late: taken seriously, it would bury the living one.
        # It knows this epoch from a reply to its first heartbeat: that came in before its successor was born.
        if peer.outlived(beat.incarnation):
            return True
        # Its lease is not prolonged: it closes what it has before that is given to others.
        return peer.incarnation == beat.incarnation and self._unreachable(peer)

    def _lose_what_was_left(self, peer: Peer) -> None:
        """A node that had left this shard works for it again: it has closed all that it had, and what it
        reported of that was not for this epoch.
        """
        if peer.left:
            peer.left = False
            self._lower(peer, RegionHealth.DOWN)

    def _unreachable(self, peer: Peer) -> bool:
        """Say whether what is sent to a node that beats still does not arrive."""
        peer.out_of_reach = peer.out_of_reach and peer.link.stuck_s() >= SUSPECT_AFTER_S
        return peer.out_of_reach

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
        return len(region.nodes) < NODES_MOST

    def _replace(self, peer: Peer, incarnation: str) -> None:
        peer.incarnation = incarnation
        peer.out_of_reach = False
        peer.beats = 0
        peer.link.readdress(self._epoch, incarnation)
        # On the first one too: what was posted before anybody was there has gone nowhere.
        self._on_lost(peer)

    def judge(self) -> None:
        """Lower who is silent, or can't be reached; this happens twice a second by itself."""
        now = self._clock.now()
        stall = max(0.0, now - self._last_judged - HEARTBEAT_EVERY_S)
        self._last_judged = now
        for peer in self._nodes.values():
            stuck_s = peer.link.stuck_s()
            peer.out_of_reach = stuck_s >= SUSPECT_AFTER_S + stall
            verdict = max(
                health(now - peer.last_heard, stall),
                RegionHealth.SUSPECT if peer.out_of_reach else RegionHealth.UP,
                key=_BEST_FIRST.index,
            )
            # Only a heartbeat raises a peer; silence only lowers it.
            if _BEST_FIRST.index(verdict) > _BEST_FIRST.index(peer.health):
                self._lower(peer, verdict)

    def _judge_for_ever(self) -> None:
        self.judge()
        self._clock.call_at(self._last_judged + HEARTBEAT_EVERY_S, self._judge_for_ever)

    def _lower(self, peer: Peer, verdict: RegionHealth) -> None:
        if peer.health is RegionHealth.DOWN:
            return
        peer.health = verdict
        if verdict is RegionHealth.DOWN:
            peer.down_since = self._clock.now()
            peer.link.readdress(self._epoch, peer.incarnation)
            self._on_lost(peer)

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
    if placement is not None and placement.state is not PlacementState.RUNS:
        return placement.reason
    if peer.out_of_reach:
        return "it is heard, but what is sent to it does not arrive"
    return "it was not heard yet" if math.isinf(heard_s) else f"heard last {heard_s:.1f} s ago"


_BEST_FIRST = (RegionHealth.UP, RegionHealth.SUSPECT, RegionHealth.DOWN)
