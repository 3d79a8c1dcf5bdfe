"""The other actors, as this shard knows them: who is alive, and how to speak to each."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from orchestrator.domain.ids import RegionName
from orchestrator.domain.routing import HEARTBEAT_EVERY_S, RegionHealth, health
from orchestrator.ports.clock import Clock
from orchestrator.ports.links import RegionLink, RegionLinks
from orchestrator.wire.messages import Heartbeat, HeartbeatReply, Message

WEBHOOKS = RegionName("@webhooks")
"""The webhook actor's place in the book; no region can bear that name."""
ATTEMPTS_CREDIT = 1_000
BYTES_CREDIT = 64 * 1024 * 1024
LIVES_KEPT = 100


@dataclass(slots=True)
class Peer:
    """One actor. ``incarnation`` is empty until it was heard; ``lives`` are all that ever beat, in the
    order of their first heartbeats.
    """

    name: RegionName
    link: RegionLink
    incarnation: str = ""
    last_heard: float = float("-inf")
    health: RegionHealth = RegionHealth.DOWN
    down_since: float = float("inf")
    attempts_open: int = 0
    bytes_open: int = 0
    vitals: dict[str, float] = field(default_factory=dict)
    """What it last said of itself, for the metrics."""
    places: int = ATTEMPTS_CREDIT
    """How many attempts it can take at once: fewer where it runs short of descriptors."""
    lives: deque[str] = field(default_factory=lambda: deque(maxlen=LIVES_KEPT))

    @property
    def has_credit(self) -> bool:
        """Whether the executor can take another attempt."""
        return self.attempts_open < self.places and self.bytes_open < BYTES_CREDIT

    def outlived(self, incarnation: str) -> bool:
        """Whether the one that works for this shard is a later one than this."""
        if not {incarnation, self.incarnation} <= set(self.lives):
            return False
        return self.lives.index(incarnation) < self.lives.index(self.incarnation)


class PeerBook:
    """Judges peers by their heartbeats.

    Args:
        names: Every peer there is to be.
        links: Makes the links to them.
        clock: Time.
        on_up: Told of a peer that may take work (again): it is heard, or has more places.
        on_lost: Told of a peer that lost what it had: it went down, or came back as another.
    """

    def __init__(
        self,
        names: Iterable[RegionName],
        links: RegionLinks,
        clock: Clock,
        *,
        on_up: Callable[[Peer], None],
        on_lost: Callable[[Peer], None],
    ) -> None:
        self._peers = {name: Peer(name, links.link(name)) for name in names}
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
        for peer in self._peers.values():
            peer.down_since = self._last_judged
        self._clock.call_at(self._last_judged + HEARTBEAT_EVERY_S, self._judge)

    def post(self, name: RegionName, message: Message) -> None:
        """Send a message to a peer."""
        self._peers[name].link.post(message)

    def knows(self, name: RegionName) -> bool:
        """Whether there is such a peer: a job may name a region that was taken out of service."""
        return name in self._peers

    def peer(self, name: RegionName) -> Peer:
        """Look a peer up."""
        return self._peers[name]

    def regions_up(self) -> list[RegionName]:
        """Name the regions that take work now."""
        return [p.name for p in self.regions() if p.health is RegionHealth.UP]

    def regions_with_credit(self) -> list[RegionName]:
        """Name the regions that take work now and have room for it."""
        return [p.name for p in self.regions() if p.health is RegionHealth.UP and p.has_credit]

    def down_s(self, region: RegionName) -> float:
        """Say for how many seconds a region has been DOWN; 0 while it is not. One that is not there any more
        has been since this shard began.
        """
        peer = self._peers.get(region)
        if peer is None:
            return self._clock.now() - self._begun_at
        return self._clock.now() - peer.down_since if peer.health is RegionHealth.DOWN else 0.0

    def all_regions_heard(self) -> bool:
        """Whether every region's executor works for this shard, or did: what it had before is closed."""
        return all(peer.incarnation for peer in self.regions())

    def all(self) -> list[Peer]:
        """List every peer."""
        return list(self._peers.values())

    def heard(self, beat: Heartbeat, boot_id: str) -> HeartbeatReply:
        """Take a heartbeat. A peer counts as up once it works for this shard's epoch; the reply to one
        that was replaced says that it works for none.
        """
        reply = HeartbeatReply(self._epoch, self._clock.now(), boot_id)
        peer = self._peers.get(beat.region)
        if peer is None:
            return reply
        if beat.incarnation not in peer.lives:
            peer.lives.append(beat.incarnation)
        # A heartbeat of a dead incarnation may come late: taken seriously, it would bury the living one.
        # It knows this epoch from a reply to its first heartbeat: that came in before its successor was born.
        if peer.outlived(beat.incarnation):
            return replace(reply, epoch=0)
        if beat.epoch != self._epoch:
            return reply
        if peer.incarnation != beat.incarnation:
            self._replace(peer, beat.incarnation)
        peer.last_heard = self._clock.now()
        peer.vitals = beat.vitals
        was_up, had_credit = peer.health is RegionHealth.UP, peer.has_credit
        peer.health = RegionHealth.UP
        peer.places = ATTEMPTS_CREDIT if beat.places is None else min(ATTEMPTS_CREDIT, beat.places)
        if not was_up or (peer.has_credit and not had_credit):
            self._on_up(peer)
        return reply

    def doubt(self, peer: Peer) -> None:
        """It says that its lease has run out: no new work for it until it is heard again."""
        if peer.health is RegionHealth.UP:
            peer.health = RegionHealth.SUSPECT

    async def close(self) -> None:
        """Close every link."""
        for peer in self._peers.values():
            await peer.link.close()

    def _replace(self, peer: Peer, incarnation: str) -> None:
        peer.incarnation = incarnation
        peer.link.readdress(self._epoch, incarnation)
        # On the first one too: what was posted before anybody was there has gone nowhere.
        self._on_lost(peer)

    def _judge(self) -> None:
        now = self._clock.now()
        stall = max(0.0, now - self._last_judged - HEARTBEAT_EVERY_S)
        self._last_judged = now
        for peer in self._peers.values():
            verdict = health(now - peer.last_heard, stall)
            # Only a heartbeat raises a peer; silence only lowers it.
            if verdict is not RegionHealth.UP and verdict is not peer.health:
                self._lower(peer, verdict)
        self._clock.call_at(now + HEARTBEAT_EVERY_S, self._judge)

    def _lower(self, peer: Peer, verdict: RegionHealth) -> None:
        peer.health = verdict
        if verdict is RegionHealth.DOWN:
            peer.down_since = self._clock.now()
            peer.link.readdress(self._epoch, peer.incarnation)
            self._on_lost(peer)

    def regions(self) -> list[Peer]:
        """List the regions' executors."""
        return [peer for name, peer in self._peers.items() if name != WEBHOOKS]
