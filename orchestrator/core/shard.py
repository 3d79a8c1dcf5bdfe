"""A shard: the domains, queues and supervisors that live in one process, and their way to disk."""

from collections.abc import Callable
from math import inf
from random import Random

from msgspec.structs import replace

from orchestrator.core.jobs.job_side import JobSide
from orchestrator.core.maintenance import Maintenance
from orchestrator.core.regions.drains import Drains
from orchestrator.core.regions.failure_detector import FailureDetector
from orchestrator.core.regions.node_messages import NodeMessages
from orchestrator.core.regions.peer import Peer
from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.shard_context import ShardContext
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.shards.neighbours import Cluster, Neighbours
from orchestrator.core.targets.operator import Operator
from orchestrator.core.targets.target_side import TargetSide
from orchestrator.core.tasks import Tasks
from orchestrator.core.tenure import Tenure
from orchestrator.core.webhooks.webhook_side import WebhookSide
from orchestrator.domain.ids import NodeAddress
from orchestrator.messages.types import Heartbeat, HeartbeatReply, Message
from orchestrator.ports.clock import Clock
from orchestrator.ports.lifecycle import AsyncLifecycle
from orchestrator.ports.links import RegionLinks
from orchestrator.ports.store import Store
from orchestrator.ports.tracing import Tracing

DELIVERIES_DRAIN_S = 2.0
READY_WITHOUT_ALL_AFTER_S = 15.0
"""Since the start: a region that is dead then keeps the service waiting no longer."""


class Shard(AsyncLifecycle):
    """Hosts the light actors of its domains. Everything here runs on one event loop.

    A start takes the shard, queues what the store holds, and blocks while another life of it beats. A stop
    leaves the rest to the next life, and closes the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        links: RegionLinks,
        clock: Clock,
        random: Random,
        options: ShardOptions,
        cluster: Cluster | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.store, self.clock, self.options = store, clock, options
        self.epoch = 0
        self._begun_at = inf
        self._draining = False
        self._tasks = Tasks()
        context = ShardContext.of(store, clock, random, self._tasks.spawn, tracing)
        self.counters, self.answers, self.tracing = context.counters, context.answers, context.tracing
        self.peers = PeerBook(options.expected, links, clock)
        self.drains = Drains(store.jobs, clock, self.peers, self._peer_up)
        self._tenure = Tenure(store.jobs, clock, context.spawn)
        self.targets = TargetSide(context, self.peers, self._lease_left_s, options)
        self.neighbours = Neighbours(options.name, cluster, clock, self.targets.steps, self._lease_left_s)
        self._detector = FailureDetector(self.peers, clock, on_up=self._peer_up, on_lost=self._peer_lost)
        self.operator = Operator(store.jobs, clock, self.targets.domains, self.targets.routes)
        self.webhooks = WebhookSide(context, self.peers, options.delivery)
        self._messages = NodeMessages(self.targets.dispatcher, self.webhooks.dispatcher)
        self.jobs = JobSide(context, self.targets, self.neighbours, self.webhooks)
        self._maintenance = Maintenance(
            context,
            self.jobs.time_out,
            self.jobs.limits.__contains__,
            self.targets.read_plans,
            self.targets.domains.forget_idle,
        )

    async def _start(self) -> None:
        self.epoch = await self._tenure.begin()
        self._begun_at = self.clock.now()
        table = self.jobs.table
        await self.targets.begin(self.epoch, self.neighbours.find_jobs(table))
        await self.drains.begin()
        self.peers.begin(self._room_back)
        self._detector.begin(self.epoch)
        self.jobs.recovery.begin(self.neighbours.owners(self.epoch))
        found = await self.jobs.recover()
        owed = await self.webhooks.dispatcher.begin()
        self._maintenance.begin()
        self.jobs.scheduled.begin()
        self.neighbours.begin(self.epoch, table, self.jobs.newcomers, [*found, *(entry.id for entry in owed)])

    def receive(self, sender: NodeAddress, message: Message) -> None:
        """Take a message from a node: what it reports counts if it is the one that has it."""
        self._messages.receive(sender, message)

    def heartbeat(
        self, sender: NodeAddress, beat: Heartbeat, boot_id: str, *, only_named: bool = False
    ) -> HeartbeatReply:
        """Take a node's heartbeat; ``only_named``: it takes only jobs that name its region. The reply says
        for how long this shard may still act, where that ends.
        """
        reply = self._detector.heartbeat(sender, beat, boot_id, only_named=only_named)
        left_s = self._lease_left_s()
        if left_s == inf:
            return reply
        return replace(reply, lease_s=left_s, epoch=reply.epoch if self.may_act else 0)

    @property
    def ready(self) -> bool:
        """Whether work can be taken and done: in every region once, and from then on in any."""
        patient_until = self._begun_at + READY_WITHOUT_ALL_AFTER_S
        begun = self.peers.all_regions_heard() or self.clock.now() >= patient_until
        able = bool(self.epoch and self.peers.regions_up()) and not self.store.lost
        return begun and able and not self._draining

    @property
    def may_act(self) -> bool:
        """Whether its lease lasts."""
        return self._lease_left_s() > 0

    @property
    def accepting(self) -> bool:
        """Whether submissions are taken: their jobs are safe even while no region is up."""
        return bool(self.epoch) and not self._draining

    async def drain(self, timeout_s: float) -> None:
        """Start no attempt more, and wait for those under way, at most ``timeout_s``.

        Deliveries get a moment only: a receiver that hangs must not hold up a stop, and the next start
        makes what is left.
        """
        self._draining = True
        self._start_nothing()
        waited_s = await self._until(lambda: not (self._attempts_open or self._tasks), timeout_s)
        await self._until_ends_are_saved()
        last_call_s = min(timeout_s - waited_s, DELIVERIES_DRAIN_S)
        await self._until(lambda: not (self.webhooks.dispatcher or self._tasks), last_call_s)
        await self.jobs.recovery.save_open()

    async def rest(self, timeout_s: float) -> int:
        """Start no attempt more, and wait for those under way, at most ``timeout_s``; submissions are taken
        all the while, and their jobs wait for the next life. ``drain`` has little left to do then. Return how
        many attempts are under way still: the next life begins these again.
        """
        self._start_nothing()
        waited_s = await self._until(lambda: not self._attempts_open, timeout_s)
        await self._until_ends_are_saved()
        last_call_s = min(timeout_s - waited_s, DELIVERIES_DRAIN_S)
        await self._until(lambda: not self.webhooks.dispatcher, last_call_s)
        return self._attempts_open

    def _start_nothing(self) -> None:
        self.targets.domains.close()
        self.neighbours.drain()

    def busy(self, address: NodeAddress) -> int:
        """Count what a node has under way for this shard: attempts, and deliveries of webhooks."""
        return self.peers.attempts_open(address) + self.webhooks.dispatcher.in_flight(address)

    @property
    def _attempts_open(self) -> int:
        return self.targets.attempts_open + self.neighbours.attempts_open

    async def _until(self, holds: Callable[[], bool], within_s: float) -> float:
        return await self._tasks.until(holds, self.clock, within_s)

    async def _until_ends_are_saved(self) -> None:
        """However long that takes: a job whose end were thrown away would be sent once more."""
        await self._tasks.until(lambda: not self.jobs.table.ends_unsaved, self.clock)

    async def _stop(self) -> None:
        self._tenure.close()
        await self.neighbours.close()
        await self.peers.close()
        await self._tasks.close()
        self.jobs.ledger.save()
        await self.store.close()

    async def failed(self) -> None:
        """Return never; raise what went wrong where this shard can't go on (a full disk, say)."""
        await self._tasks.failed()

    def _peer_up(self, peer: Peer) -> None:
        if peer.for_jobs:
            self.targets.region_up()
            self.webhooks.dispatcher.region_up(peer.name)

    def _room_back(self, peer: Peer) -> None:
        self.targets.region_up()
        self.webhooks.dispatcher.region_up(peer.name)

    def _peer_lost(self, peer: Peer) -> None:
        self.webhooks.dispatcher.sender_lost(peer.address)
        if peer.for_jobs:
            self.targets.peer_lost(peer)

    def _lease_left_s(self) -> float:
        return self._tenure.left_s
