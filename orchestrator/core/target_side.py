"""All that a shard has of its targets: their limiters, the ways to them, and the attempts under way."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from orchestrator.core.answer_intake import AnswerIntake
from orchestrator.core.counters import Counters
from orchestrator.core.dispatcher import Dispatcher
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.limiter_registry import LimiterRegistry
from orchestrator.core.local_targets import LocalTargets
from orchestrator.core.marker import Marker
from orchestrator.core.pace_view import PaceView
from orchestrator.core.peers import Peer, PeerBook
from orchestrator.core.routes import Routes
from orchestrator.domain.breaker import Cause
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import AttemptId, ShardName, TargetDomain, attempt_id
from orchestrator.domain.job import Job
from orchestrator.domain.known_domains import KnownDomains
from orchestrator.domain.lease import BEAT_EVERY_S
from orchestrator.domain.pacing import Pace, PaceCaps
from orchestrator.domain.queue_position import QueuePosition
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import JobStore
from orchestrator.ports.targets import Jobs


class TargetSide:
    """Joins the parts of the targets' side. ``steps`` is what jobs speak to.

    Args:
        store: Keeps what targets teach.
        peers: The regions' nodes.
        clock: Time.
        counters: What metrics show.
        answers: Room for large answers.
        spawn: Runs work to its end.
        lease_left_s: For how long the shard may still act.
        shard: Whose targets these are: attempt ids begin so.
        pace: Where nothing is known of a target.
        caps: Of what targets may ask for.
        known: What the operator says of certain targets.
        strict_down_s: How long a region is down before a leg that may run nowhere else is given up.
    """

    def __init__(
        self,
        store: JobStore,
        peers: PeerBook,
        clock: Clock,
        counters: Counters,
        answers: AnswerIntake,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        lease_left_s: Callable[[], float],
        *,
        shard: ShardName,
        pace: Pace,
        caps: PaceCaps,
        known: KnownDomains,
        strict_down_s: float,
    ) -> None:
        self._store = store
        self._peers = peers
        self._shard = shard
        self._lease_left_s = lease_left_s
        self._epoch = 0
        self._attempts = 0
        self.routes = Routes(clock, peers, self.limiter, self._leave, strict_down_s=strict_down_s)
        self.domains = LimiterRegistry(
            clock,
            pace=pace,
            caps=caps,
            known=known,
            launch=self._launch,
            opens_at=self._opens_at,
        )
        self.dispatcher = Dispatcher(
            peers,
            clock,
            counters,
            limiter=self.domains.limiter,
            routes=self.routes,
            answers=answers,
            steered=self._steered,
        )
        self._marker = Marker(store, spawn)
        self.steps = LocalTargets(
            clock,
            peers,
            self.routes,
            self.domains.limiter,
            self.dispatcher,
            self._marker,
            self._next_attempt,
        )

    async def begin(self, epoch: int, jobs: Jobs) -> None:
        """Begin a life of the shard with what is kept of the targets; ``jobs`` are told from now on."""
        self._epoch = epoch
        paces, overrulings = await self._store.paces(), await self._store.overrulings()
        self.domains.begin(paces, overrulings, after_another_life=epoch > 1)
        self._marker.begin(epoch)
        self.steps.begin(jobs)
        self.routes.begin()

    def limiter(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain's limiter, or make it."""
        return self.domains.limiter(name)

    def view(self, domain: DomainLimiter) -> PaceView:
        """Show what holds at a target now, the ways to it included."""
        return domain.view(self.routes.breaker_limit(domain.name))

    def place(self, job: Job, names: Iterable[TargetDomain]) -> QueuePosition | None:
        """Say where a job stands in that of these targets' queues in which it starts first; None where it
        waits in none.
        """
        queues = [queue for name in names if (queue := self.domains.get(name)) is not None]
        places = [queue.place(job.customer, job.order_key, job.id) for queue in queues]
        return min(filter(None, places), key=lambda place: place.wait_s, default=None)

    def region_up(self) -> None:
        """A region takes work (again)."""
        if self._peers.nothing_is_left_of_before():
            self.domains.release()
        self.routes.region_up()

    def peer_lost(self, peer: Peer) -> None:
        """A node of a region lost what it had."""
        self.dispatcher.lose(peer)
        self.routes.region_lost(self._peers.region(peer.name))

    def _opens_at(self, domain: TargetDomain, now: float) -> float:
        """Say when a request to a target may next go: ``now`` or later, monotonic s. Without a lease none
        may.
        """
        if self._lease_left_s() <= 0:
            return now + BEAT_EVERY_S
        return self.routes.opens_at(domain, now)

    def _launch(self, domain: DomainLimiter, ticket: Ticket, permit: int) -> None:
        self.steps.take_turn(domain, ticket, permit)

    def _leave(self, ticket: Ticket, cause: Cause) -> None:
        self.steps.leave(ticket, cause)

    def _steered(self, domain: DomainLimiter) -> None:
        self._store.note_pace(domain.name, domain.learned)

    def _next_attempt(self) -> AttemptId:
        self._attempts += 1
        return attempt_id(self._shard, self._epoch, self._attempts)
