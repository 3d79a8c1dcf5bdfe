"""Who is alive: nodes are judged by their heartbeats, and by whether what is sent to them arrives."""

from collections.abc import Callable

from msgspec.structs import replace

from orchestrator.core.regions.peer import BEST_FIRST, Peer
from orchestrator.core.regions.peers import PeerBook
from orchestrator.domain.health.routing import (
    ATTEMPTS_CREDIT,
    HEARTBEAT_EVERY_S,
    SUSPECT_AFTER_S,
    RegionHealth,
    health,
)
from orchestrator.domain.ids import NodeAddress
from orchestrator.messages.types import Heartbeat, HeartbeatReply
from orchestrator.ports.clock import Clock


class FailureDetector:
    """Raises a node by its heartbeats only, and lowers it by silence, by what does not arrive, and by what it
    says of itself.

    Args:
        peers: The nodes.
        clock: Time.
        on_up: Takes a peer that may take work (again): it is heard, or has more places.
        on_lost: Takes a peer that lost what it had: it went down, or came back as another.
    """

    def __init__(
        self,
        peers: PeerBook,
        clock: Clock,
        *,
        on_up: Callable[[Peer], None],
        on_lost: Callable[[Peer], None],
    ) -> None:
        self._peers = peers
        self._clock = clock
        self._on_up = on_up
        self._on_lost = on_lost
        self._epoch = 0
        self._awake_until = clock.now()

    def begin(self, epoch: int) -> None:
        """Start judging, under this shard's fencing number."""
        self._epoch = epoch
        self._awake_until = self._clock.now() + HEARTBEAT_EVERY_S
        self._clock.call_at(self._awake_until, self._judge_for_ever)

    def heartbeat(
        self, sender: NodeAddress, beat: Heartbeat, boot_id: str, *, only_named: bool = False
    ) -> HeartbeatReply:
        """Take a node's heartbeat. A peer counts as up once it works for this shard's epoch; the reply to one
        that was replaced says that it works for none. ``only_named``: it takes only jobs that name its
        region.
        """
        self._excuse_own_stall()
        reply = HeartbeatReply(self._epoch, self._clock.now(), boot_id)
        peer = self._peers.find_or_add(sender)
        if peer is None:
            return reply
        if beat.incarnation not in peer.lives:
            peer.lives.append(beat.incarnation)
        if self._refuses(peer, beat):
            return replace(reply, epoch=0)
        if beat.epoch == self._epoch:
            self._take(peer, beat, only_named=only_named)
        elif peer.has_left(beat):
            # What it is given before it works for this shard again would be lost with what it has left.
            peer.left = True
            peer.doubt()
        return reply

    def _take(self, peer: Peer, beat: Heartbeat, *, only_named: bool) -> None:
        self._lose_what_was_left(peer)
        if peer.incarnation != beat.incarnation:
            self._replace(peer, beat.incarnation)
        peer.last_heard = self._clock.now()
        peer.vitals = beat.vitals
        peer.only_named = only_named
        if beat.heard_s is not None:
            peer.reached_at = peer.last_heard - beat.heard_s
        has_closed_all, peer.excused_s = peer.has_closed_all(beat), 0.0
        if has_closed_all:
            self._lower(peer, RegionHealth.DOWN)
        else:
            self._raise(peer, beat)

    def _raise(self, peer: Peer, beat: Heartbeat) -> None:
        was_up, had_credit = peer.health is RegionHealth.UP, peer.has_credit
        peer.health = RegionHealth.UP
        peer.places = ATTEMPTS_CREDIT if beat.places is None else min(ATTEMPTS_CREDIT, beat.places)
        if not was_up or (peer.has_credit and not had_credit):
            self._on_up(peer)

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
        peer.out_of_reach = peer.out_of_reach and self._stuck(peer)
        return peer.out_of_reach

    def _stuck(self, peer: Peer) -> bool:
        return peer.link.stuck_s() >= SUSPECT_AFTER_S + peer.stuck_excused_s

    def _replace(self, peer: Peer, incarnation: str) -> None:
        peer.incarnation = incarnation
        peer.out_of_reach = False
        peer.beats = 0
        peer.lose_words(self._epoch)
        # On the first one too: what was posted before anybody was there has gone nowhere.
        self._on_lost(peer)

    def judge(self) -> None:
        """Lower who is silent, or can't be reached; this happens twice a second by itself."""
        self._excuse_own_stall()
        now = self._clock.now()
        self._awake_until = now + HEARTBEAT_EVERY_S
        for peer in self._peers.all():
            peer.out_of_reach = self._stuck(peer)
            verdict = max(
                health(now - peer.last_heard, peer.excused_s),
                RegionHealth.SUSPECT if peer.out_of_reach else RegionHealth.UP,
                key=BEST_FIRST.index,
            )
            # Only a heartbeat raises a peer; silence only lowers it.
            if BEST_FIRST.index(verdict) > BEST_FIRST.index(peer.health):
                self._lower(peer, verdict)

    def _judge_for_ever(self) -> None:
        self.judge()
        self._clock.call_at(self._awake_until, self._judge_for_ever)

    def _excuse_own_stall(self) -> None:
        """Whoever could not be heard while nothing ran here is not blamed for it: not at the first look after
        that, when what they have sent may still be on its way, and not until they are heard.
        """
        stall_s = self._clock.now() - self._awake_until
        if stall_s <= 0:
            return
        self._awake_until += stall_s
        for peer in self._peers.all():
            peer.excused_s += stall_s
            peer.stuck_excused_s = peer.stuck_excused_s + stall_s if peer.link.stuck_s() else 0.0

    def _lower(self, peer: Peer, verdict: RegionHealth) -> None:
        if peer.health is RegionHealth.DOWN:
            return
        peer.health = verdict
        if verdict is RegionHealth.DOWN:
            peer.down_since = self._clock.now()
            peer.lose_words(self._epoch)
            self._on_lost(peer)
