"""What runs in a region, whatever carries its messages: attempts requests and sends webhooks for shards."""

from orchestrator.domain.health.routing import ATTEMPTS_CREDIT, HEARTBEAT_EVERY_S
from orchestrator.domain.ids import ShardName
from orchestrator.ports.clock import Timer
from orchestrator.ports.lifecycle import Lifecycle
from regions.session import NodeParts, ShardSession


class RegionNode(Lifecycle):
    """Works for shards, for each in a session of its own: what happens in one disturbs none of the others. It
    watches over their leases from its start to its stop.
    """

    def __init__(self, parts: NodeParts) -> None:
        self._parts = parts
        self._sessions: dict[ShardName, ShardSession] = {}
        self._next_look: Timer | None = None

    def join(self, shard: ShardName) -> ShardSession:
        """Begin to work for a shard. What it sends goes to the session, and a heart has to beat for that."""
        session = self._sessions[shard] = ShardSession(
            shard, self._parts, credit=self._credit_for_one, count_files_left=self._files_for_one
        )
        return session

    def _start(self) -> None:
        self._watch()

    def _stop(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()

    def _watch(self) -> None:
        for session in self._sessions.values():
            session.check()
        clock = self._parts.clock
        self._next_look = clock.call_at(clock.now() + HEARTBEAT_EVERY_S / 2, self._watch)

    def _credit_for_one(self) -> int:
        """Divide the credit among the sessions: no shard may count on the part of another."""
        return ATTEMPTS_CREDIT // len(self._sessions)

    def _files_for_one(self) -> int:
        return self._parts.count_files_left() // len(self._sessions)
