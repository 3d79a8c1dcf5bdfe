"""One node of a region as a shard knows it, and the nodes of a region together."""

from collections import deque
from dataclasses import dataclass, field

from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.cluster.placement import Placement
from orchestrator.domain.health.routing import ATTEMPTS_CREDIT, FENCED_AFTER_S, RegionHealth
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.messages.codec import BatchReader
from orchestrator.messages.names import WEBHOOK_REGION
from orchestrator.messages.types import Heartbeat
from orchestrator.ports.links import RegionLink

BYTES_CREDIT = 68 * MIB
"""Of requests that a node may have, and of their connections within TLS. Where there is a byte left one more
goes, however large.
"""
LIVES_KEPT = 100
BEST_FIRST = (RegionHealth.UP, RegionHealth.SUSPECT, RegionHealth.DOWN)


@dataclass(slots=True, eq=False)
class Peer:
    """One node. ``incarnation`` is empty until it was heard; ``lives`` are all that ever beat, in the
    order of their first heartbeats.
    """

    address: NodeAddress
    link: RegionLink
    reader: BatchReader
    """Of what it sends: it outlives connections, for a message may come through several."""
    incarnation: str = ""
    last_heard: float = float("-inf")
    excused_s: float = 0.0
    """For how much of the time since it was last heard this shard could hear nobody."""
    stuck_excused_s: float = 0.0
    """The same of the time in which nothing has arrived there."""
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
    leaving: bool = False
    """Whether another one takes its place: it is given nothing more."""
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
    def for_jobs(self) -> bool:
        """Whether it does attempts of jobs, and not deliveries of webhooks only."""
        return self.name != WEBHOOK_REGION

    @property
    def takes_work(self) -> bool:
        """Whether it is up and has room for another attempt."""
        return self.health is RegionHealth.UP and self.has_credit

    @property
    def has_credit(self) -> bool:
        """Whether the executor can take another attempt, and what waits to be sent there leaves room."""
        in_credit = self.attempts_open < self.places and self.bytes_open < BYTES_CREDIT
        return in_credit and not self.leaving and self.link.mail.admits()

    def doubt(self) -> None:
        """Its lease has run out, or it has left: no new work for it until its next heartbeat."""
        if self.health is RegionHealth.UP:
            self.health = RegionHealth.SUSPECT

    def lose_words(self, epoch: int) -> None:
        """It is gone, or another: what waits to be sent to it is dropped, and what it has sent by half."""
        self.link.readdress(epoch, self.incarnation)
        self.reader.forget()

    def take(self, size: int) -> None:
        """It gets an attempt whose request has ``size`` bytes."""
        self.attempts_open += 1
        self.bytes_open += size

    def give_back(self, size: int) -> None:
        """It has such an attempt no more."""
        self.attempts_open -= 1
        self.bytes_open -= size

    def has_closed_all(self, beat: Heartbeat) -> bool:
        """Whether it says that replies have not reached it for so long that it has fenced itself. Only its
        latest heartbeat tells: a late one may be from before a reply that did.
        """
        latest, self.beats = beat.number > self.beats, max(self.beats, beat.number)
        # What a stall of this shard made it close it reports, or has the answer of.
        return latest and beat.heard_s is not None and beat.heard_s >= FENCED_AFTER_S + self.excused_s

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
        return min((node.health for node in self.nodes), key=BEST_FIRST.index, default=RegionHealth.DOWN)

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
                BEST_FIRST.index(node.health),
                node.attempts_open,
            ),
        )
