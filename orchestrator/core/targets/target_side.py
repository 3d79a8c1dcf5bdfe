"""All that a shard has of its targets: their limiters, the ways to them, and the attempts under way."""

from collections.abc import Callable, Iterable

from orchestrator.core.regions.peer import Peer, Region
from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.targets.dispatcher import Dispatcher
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.limiter_registry import LimiterRegistry
from orchestrator.core.targets.local_targets import LocalTargets
from orchestrator.core.targets.marker import Marker
from orchestrator.core.targets.pace_view import PaceView
from orchestrator.core.targets.routes import Routes
from orchestrator.core.views import RouteView
from orchestrator.domain.cluster.lease import BEAT_EVERY_S
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.health.routing import RegionHealth
from orchestrator.domain.ids import AttemptId, RegionName, TargetDomain, attempt_id
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.targets import Jobs


class TargetSide:
    """Joins the parts of the targets' side. ``steps`` is what jobs speak to.

    Args:
        context: What the shard's parts share.
        peers: The regions' nodes.
        lease_left_s: For how long the shard may still act.
        options: What the operator set. Attempt ids begin with the shard's name.
    """

    def __init__(
        self,
        context: ShardContext,
        peers: PeerBook,
        lease_left_s: Callable[[], float],
        options: ShardOptions,
    ) -> None:
        clock = self._clock = context.clock
        self._store = context.store
        self._peers = peers
        self._shard = options.name
        self._lease_left_s = lease_left_s
        self._epoch = 0
        self._attempts = 0
        self.domains = LimiterRegistry(clock, options, launch=self._launch, opens_at=self._opens_at)
        limiter = self.domains.limiter
        self.routes = Routes(clock, peers, limiter, self._leave, strict_down_s=options.strict_down_s)
        self.dispatcher = Dispatcher(
            peers,
            clock,
            context.counters,
            limiter=limiter,
            routes=self.routes,
            answers=context.answers,
            steered=self._steered,
        )
        self._marker = Marker(context.store.jobs, context.spawn)
        self.steps = LocalTargets(
            clock, peers, self.routes, limiter, self.dispatcher, self._marker, self._next_attempt
        )

    async def begin(self, epoch: int, jobs: Jobs) -> None:
        """Begin a life of the shard with what is kept of the targets; ``jobs`` are told from now on."""
        self._epoch = epoch
        paces, overrulings = await self._store.jobs.paces(), await self._store.jobs.overrulings()
        self.domains.begin(paces, overrulings, after_another_life=epoch > 1)
        self._marker.begin(epoch)
        self.steps.begin(jobs)
        self.routes.begin()

    async def read_plans(self) -> None:
        """Take note of customers' plans: they weigh in the queues."""
        self.domains.weigh(await self._store.customers.plans(self._clock.unix_ms()))

    def limiter(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain's limiter, or make it."""
        return self.domains.limiter(name)

    def look(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain's limiter, or make one to look at, which is not kept."""
        return self.domains.look(name)

    def ways(self, name: TargetDomain) -> dict[RegionName, RouteView]:
        """Show the ways from the regions to a target; regions that have not called it are absent."""
        return self.routes.target_health.view(name)

    def health(self, region: Region) -> RegionHealth:
        """Say how a region is, seen from its targets too."""
        return self.routes.health(region)

    def open_breakers(self) -> dict[RegionName, int]:
        """Count the breakers that are not closed, by region."""
        return self.routes.open_breakers()

    @property
    def attempts_open(self) -> int:
        """Count the attempts under way."""
        return len(self.dispatcher)

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
        self._store.jobs.note_pace(domain.name, domain.learned)

    def _next_attempt(self) -> AttemptId:
        self._attempts += 1
        return attempt_id(self._shard, self._epoch, self._attempts)
