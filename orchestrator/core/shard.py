"""A shard: the domains, queues and supervisors that live in one process, and their way to disk."""

import asyncio
import logging
from collections.abc import Callable
from math import inf
from random import Random
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from orchestrator.core.admission import Admission
from orchestrator.core.answer_intake import AnswerIntake
from orchestrator.core.counters import Counters
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.drains import Drains
from orchestrator.core.job_notifier import JobNotifier
from orchestrator.core.job_reader import JobReader
from orchestrator.core.job_table import JobTable
from orchestrator.core.kept_answers import KeptAnswers
from orchestrator.core.ledger import Ledger
from orchestrator.core.maintenance import Maintenance
from orchestrator.core.operator import Operator
from orchestrator.core.peers import WEBHOOKS, Peer, PeerBook
from orchestrator.core.result_writer import ResultWriter
from orchestrator.core.scheduled_jobs import ScheduledJobs
from orchestrator.core.shards.neighbours import Cluster, Neighbours
from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.core.supervisor import JobSupervisor
from orchestrator.core.supervisor_context import SupervisorContext
from orchestrator.core.target_side import TargetSide
from orchestrator.core.tasks import Tasks
from orchestrator.core.tenure import Tenure
from orchestrator.core.time_limits import TimeLimits
from orchestrator.core.webhooks.dispatcher import WebhookDispatcher
from orchestrator.core.webhooks.outbox import Outbox
from orchestrator.core.webhooks.redelivery import Redelivery
from orchestrator.core.webhooks.signing_secrets import SigningSecrets
from orchestrator.domain.course import Course
from orchestrator.domain.fanout import DeliveryOptions
from orchestrator.domain.ids import DeliveryId, JobId, NodeAddress, RegionName, ShardName, TargetDomain
from orchestrator.domain.job import Job
from orchestrator.domain.known_domains import KnownDomains
from orchestrator.domain.lifecycle import JobState
from orchestrator.domain.marks import Owner
from orchestrator.domain.pacing import Pace, PaceCaps
from orchestrator.domain.queue_position import QueuePosition
from orchestrator.domain.routing import STRICT_DOWN_S
from orchestrator.messages.names import SHARD, WEBHOOK_NODE, executor_address
from orchestrator.messages.types import (
    AnswerHeld,
    AttemptDone,
    AttemptReady,
    AttemptStarted,
    CancelAttempt,
    Deliver,
    Delivered,
    DeliverySigned,
    GoAttempt,
    Heartbeat,
    HeartbeatReply,
    JobResult,
    Message,
    NeedResult,
    PermitUnused,
    RunAttempt,
    SendAnswer,
    SessionMessage,
    ShardHeartbeat,
    ShardHeartbeatReply,
)
from orchestrator.ports.clock import Clock
from orchestrator.ports.links import RegionLinks
from orchestrator.ports.store import Ending, OutboxEntry, Store

log = logging.getLogger(__name__)

CRASHES_MOST = 3
END_WITHIN_S = 5.0
DELIVERIES_DRAIN_S = 2.0
READY_WITHOUT_ALL_AFTER_S = 15.0
"""Since the start: a region that is dead then keeps the service waiting no longer."""


class ShardOptions(Struct, frozen=True, kw_only=True):
    """What an operator may set."""

    regions: tuple[RegionName, ...]
    name: ShardName = SHARD
    pace: Pace = field(default_factory=Pace)
    caps: PaceCaps = field(default_factory=PaceCaps)
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    strict_down_s: float = STRICT_DOWN_S
    known: KnownDomains = field(default_factory=KnownDomains)


class Shard:
    """Hosts the light actors of its domains. Everything here runs on one event loop."""

    def __init__(
        self,
        *,
        store: Store,
        links: RegionLinks,
        clock: Clock,
        random: Random,
        options: ShardOptions,
        cluster: Cluster | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.options = options
        self.epoch = 0
        self._random = random
        self._tasks = Tasks()
        self.spawn = self._tasks.spawn
        expected = (*map(executor_address, options.regions), WEBHOOK_NODE)
        self.peers = PeerBook(expected, links, clock, on_up=self._peer_up, on_lost=self._peer_lost)
        self.drains = Drains(store.jobs, clock, self.peers)
        self.counters = Counters()
        self.ledger = Ledger(store.jobs, clock)
        self.answers = AnswerIntake(self.spawn)
        self._tenure = Tenure(store.jobs, clock, self.spawn)
        self.targets = TargetSide(
            store.jobs,
            self.peers,
            clock,
            self.counters,
            self.answers,
            self.spawn,
            lambda: self._tenure.left_s,
            shard=options.name,
            pace=options.pace,
            caps=options.caps,
            known=options.known,
            strict_down_s=options.strict_down_s,
        )
        self.neighbours = Neighbours(
            options.name, cluster, clock, self.targets.steps, lambda: self._tenure.left_s
        )
        self.operator = Operator(store.jobs, clock, self.targets.domains, self.targets.routes)
        self.limits = TimeLimits(clock, lambda job_id: self.spawn(self._time_out(job_id)))
        self._maintenance = Maintenance(
            store.jobs,
            clock,
            self.spawn,
            self._time_out,
            self.limits.__contains__,
            self._read_plans,
            self.targets.domains.forget_idle,
        )
        self.kept_answers = KeptAnswers()
        self.outbox = Outbox(
            store.jobs,
            clock,
            random,
            self.counters,
            options.delivery.schedule,
            due=self._delivery_due,
        )
        self.signing_secrets = SigningSecrets(store.customers)
        self.webhooks = WebhookDispatcher(
            store.jobs,
            self.outbox,
            self.signing_secrets,
            self.peers,
            clock,
            spawn=self.spawn,
            counters=self.counters,
            max_concurrent=options.delivery.max_concurrent,
        )
        self.redelivery = Redelivery(
            store.jobs, store.history, self.outbox, per_s=options.delivery.redelivery_rps
        )
        self._scheduled = ScheduledJobs(clock, self.targets.routes.line_up, self.spawn)
        self.board = JobNotifier()
        self._begun_at = float("inf")
        self._draining = False
        context = SupervisorContext(
            store=store.jobs,
            clock=clock,
            random=random,
            targets=self.neighbours.targets,
            results=ResultWriter(clock.now, self.answers),
            kept_answers=self.kept_answers,
            ended=self._ended,
            over=self.limits.over,
            moved=self.board.post,
            spawn=self.spawn,
        )
        reader = JobReader(store, clock, self._buried)
        self.jobs = JobTable(context, reader)
        self._admission = Admission(
            clock, self.ledger, self.limits, self._scheduled, self.jobs, reader, self.targets.domains
        )
        self.newcomers = Newcomers(
            store.jobs,
            clock,
            reader,
            self.spawn,
            admit=self._take_in,
            deliver=self.outbox.schedule,
            is_ours=self.neighbours.is_ours,
        )

    async def begin(self) -> None:
        """Take the shard, queue what the store holds, and start."""
        self.epoch = await self._tenure.begin()
        self._begun_at = self.clock.now()
        await self.targets.begin(self.epoch, self.neighbours.find_jobs(self.jobs))
        await self.drains.begin()
        self.peers.begin(self.epoch)
        self.jobs.begin(self._owner_of)
        marks = await self.store.jobs.marks()
        found = await self.store.jobs.waiting()
        for waiting in found:
            await self._admission.recover(waiting, marks.get(waiting.id))
        owed = await self.webhooks.begin()
        self._maintenance.begin()
        self._scheduled.begin()
        known: list[JobId | DeliveryId] = [*(job.id for job in found), *(entry.id for entry in owed)]
        self.neighbours.begin(self.epoch, self.jobs, self.newcomers, known)

    def _owner_of(self, domain: TargetDomain) -> Owner | None:
        """Say who has a target; None where another shard does, for nobody here knows in which epoch."""
        return Owner(self.options.name, self.epoch) if self.neighbours.at_home(domain) else None

    def admit(self, job: Job) -> QueuePosition:
        """Queue a job that is on disk; say where it stands."""
        if self.newcomers.know(job.id):
            self._take_in(job)
        return self.place(job) or QueuePosition(1, 0.0)

    def _take_in(self, job: Job) -> None:
        self.counters.accepted += 1
        self._admission.accept(job)

    def place(self, job: Job) -> QueuePosition | None:
        """Say where a job stands in its target's queue, or in a fallback's, if it starts earlier there; None
        where it does not wait.
        """
        supervisor = self.jobs.find(job.id)
        names = [job.domain] if supervisor is None else supervisor.targets
        return self.targets.place(job, names)

    def under_way(self, job_id: JobId) -> tuple[JobState, Course] | None:
        """Say how far a job is whose supervisor is at work: newer than what is on disk."""
        supervisor = self.jobs.find(job_id)
        if supervisor is None or supervisor.state.ended:
            return None
        return supervisor.state, supervisor.course

    def domain(self, name: TargetDomain) -> DomainLimiter:
        """Find a domain's limiter, or make it."""
        return self.targets.domains.limiter(name)

    def receive(self, sender: NodeAddress, message: Message) -> None:
        """Take a message from a node: what it reports counts if it is the one that has it."""
        match message:
            case AnswerHeld():
                self.targets.dispatcher.answer_held(sender, message)
            case AttemptDone():
                self.targets.dispatcher.done(sender, message)
            case AttemptStarted():
                self.targets.dispatcher.started(sender, message)
            case PermitUnused():
                self.targets.dispatcher.unused(sender, message)
            case AttemptReady():
                self.targets.dispatcher.ready(sender, message)
            case Delivered():
                self.webhooks.delivered(sender, message)
            case NeedResult():
                self.webhooks.needs_result(sender, message)
            case (
                RunAttempt()
                | GoAttempt()
                | CancelAttempt()
                | SendAnswer()
                | Deliver()
                | JobResult()
                | DeliverySigned()
                | Heartbeat()
                | HeartbeatReply()
                | SessionMessage()
                | ShardHeartbeat()
                | ShardHeartbeatReply()
            ):
                msg = f"a shard does not take {type(message).__name__}"
                raise TypeError(msg)
            case _:
                assert_never(message)

    def heartbeat(
        self, sender: NodeAddress, beat: Heartbeat, boot_id: str, *, only_named: bool = False
    ) -> HeartbeatReply:
        """Take a node's heartbeat; ``only_named``: it takes only jobs that name its region. The reply says
        for how long this shard may still act, where that ends.
        """
        reply = self.peers.heard(sender, beat, boot_id, only_named=only_named)
        left_s = self._tenure.left_s
        if left_s == inf:
            return reply
        return replace(reply, lease_s=left_s, epoch=reply.epoch if self.may_act else 0)

    async def cancel(self, job_id: JobId) -> bool:
        """Cancel a job, and wait until that is on disk; say whether it was still open."""
        supervisor = await self.jobs.take_up(job_id)
        if supervisor is None or not supervisor.cancel():
            return False
        await self._on_disk(job_id)
        return True

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
        return self._tenure.left_s > 0

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
        self.targets.domains.close()
        self.neighbours.drain()
        deadline = self.clock.now() + timeout_s
        await self._until(lambda: not (self._attempts_open or self._tasks), deadline)
        last_call = min(deadline, self.clock.now() + DELIVERIES_DRAIN_S)
        await self._until(lambda: not (self.webhooks or self._tasks), last_call)
        await self.jobs.save_open()

    @property
    def _attempts_open(self) -> int:
        return len(self.targets.dispatcher) + self.neighbours.attempts_open

    async def _until(self, holds: Callable[[], bool], deadline: float) -> None:
        while not holds() and self.clock.now() < deadline:  # noqa: ASYNC110  # these counts share no event
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Stop, leaving the rest to the next start."""
        self._tenure.close()
        await self.neighbours.close()
        await self.peers.close()
        self._tasks.cancel()
        self.ledger.save()
        await self.store.close()

    async def failed(self) -> None:
        """Return never; raise what went wrong where this shard can't go on (a full disk, say)."""
        await self._tasks.failed()

    def _peer_up(self, peer: Peer) -> None:
        if peer.name != WEBHOOKS:
            self.targets.region_up()
            self.webhooks.region_up(peer.name)

    def _peer_lost(self, peer: Peer) -> None:
        self.webhooks.sender_lost(peer.address)
        if peer.name != WEBHOOKS:
            self.targets.peer_lost(peer)

    def _delivery_due(self, entry: OutboxEntry) -> None:
        self.webhooks.due(entry)

    async def _read_plans(self) -> None:
        self.targets.domains.weigh(await self.store.customers.plans(self.clock.unix_ms()))

    def _note_end(self, ending: Ending) -> None:
        self.jobs.forget(ending.job_id)
        self.limits.drop(ending.job_id)
        self._scheduled.drop(ending.job_id)
        self.counters.ended[ending.state] += 1
        self.ledger.ended(ending)

    def _buried(self, ending: Ending) -> None:
        self._note_end(ending)
        self.board.post(ending.job_id, ended=True)

    def _ended(self, supervisor: JobSupervisor, ending: Ending, spawned: list[Job]) -> None:
        self._note_end(ending)
        ours = self.neighbours.share_out(ending.job_id, ending.outbox)
        new = [entry for entry in ours if self.newcomers.know(entry.id)]
        self.webhooks.deliver(supervisor.job, ending.result, ending.outbox, new)
        for child in spawned:
            if not self.neighbours.announce(child):
                self.admit(child)
        self.board.post(ending.job_id, ended=True)

    async def _time_out(self, job_id: JobId) -> None:
        supervisor = await self.jobs.take_up(job_id)
        if supervisor is not None:
            supervisor.time_out()
            await self._on_disk(job_id)

    async def _on_disk(self, job_id: JobId) -> None:
        """Wait for the commit of an end that has just been decided."""
        with self.board.watch(job_id) as watch:
            await watch.end(END_WITHIN_S)
