"""The other shards, and which of them each target is at. A shard that is alone has none, and pays nothing."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from orchestrator.core.shards.neighbour import IncomingSession, OutgoingSession
from orchestrator.core.shards.newcomers import Newcomers
from orchestrator.core.shards.routers import JobRouter, TargetRouter
from orchestrator.core.shards.session_messages import DeliveriesStored, JobStored, StepName
from orchestrator.domain.execution.marks import Owner
from orchestrator.domain.ids import DeliveryId, JobId, ShardName, TargetDomain
from orchestrator.domain.jobs.job import Job
from orchestrator.messages.codec import BatchReader, LaterLifeError, WireError, decode_one, encode
from orchestrator.messages.types import ShardHeartbeat
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import OutboxEntry
from orchestrator.ports.targets import Jobs, Targets
from orchestrator.ports.transport import ShardTransport


class Cluster(Struct, frozen=True, kw_only=True):
    """The shards beside one: ``owner`` says which shard a target is at."""

    others: tuple[ShardName, ...]
    owner: Callable[[TargetDomain], ShardName]
    transport: ShardTransport


class _Neighbour(Struct):
    outgoing: OutgoingSession
    incoming: IncomingSession
    reader: BatchReader


class Neighbours:
    """Joins this shard with the others.

    Args:
        own: This shard's name.
        cluster: The others; None where there are none.
        clock: Time.
        targets: This shard's.
        lease_left_s: For how long this shard may still act.
    """

    def __init__(
        self,
        own: ShardName,
        cluster: Cluster | None,
        clock: Clock,
        targets: Targets,
        lease_left_s: Callable[[], float],
    ) -> None:
        self._own = own
        self._cluster = cluster
        self._homes: dict[StepName, Jobs] = {}
        self._neighbours: dict[ShardName, _Neighbour] = {}
        self._beating: list[asyncio.Task[None]] = []
        self._epoch = 0
        self._own, self._cluster = own, cluster
        self.targets = targets
        """Where this shard's jobs find every target."""
        if cluster is not None:
            self._neighbours = {
                name: _Neighbour(
                    OutgoingSession(name, cluster.transport, clock, lease_left_s),
                    IncomingSession(name, cluster.transport, targets, self._homes, clock),
                    BatchReader(),
                )
                for name in cluster.others
            }
            there = {name: neighbour.outgoing.targets for name, neighbour in self._neighbours.items()}
            self.targets = TargetRouter(own, targets, there, cluster.owner)

    def __len__(self) -> int:
        """Count the steps that have anything at another shard's targets, or at this one's for another."""
        return sum(len(n.outgoing.targets) + len(n.incoming.jobs) for n in self._neighbours.values())

    @property
    def alone(self) -> bool:
        """Whether there are no other shards."""
        return self._cluster is None

    def at_home(self, domain: TargetDomain) -> bool:
        """Whether a target is this shard's own."""
        return self._cluster is None or self._cluster.owner(domain) == self._own

    def owners(self, epoch: int) -> Callable[[TargetDomain], Owner | None]:
        """Make what says who has a target in this life of the shard; None where another shard does, for
        nobody here knows in which epoch.
        """
        return lambda domain: Owner(self._own, epoch) if self.at_home(domain) else None

    def find_jobs(self, own: Jobs) -> Jobs:
        """Say whom this shard's targets tell of attempts and turns."""
        return JobRouter(own, self._homes) if self._neighbours else own

    @property
    def attempts_open(self) -> int:
        """Count the attempts of this shard's jobs at others' targets that are not over."""
        return sum(neighbour.outgoing.targets.attempts_open for neighbour in self._neighbours.values())

    def begin(
        self, epoch: int, jobs: Jobs, newcomers: Newcomers, found: Iterable[JobId | DeliveryId] = ()
    ) -> None:
        """Begin a life of this shard, which ``found`` these on disk: its ``jobs`` may speak to the others'
        targets.
        """
        self._epoch = epoch
        if self._cluster is not None:
            newcomers.begin(found)
        for neighbour in self._neighbours.values():
            neighbour.outgoing.begin(epoch, jobs)
            neighbour.incoming.begin(epoch, newcomers)
            self._beating.append(asyncio.get_running_loop().create_task(neighbour.outgoing.beat_for_ever()))

    def is_ours(self, domain: TargetDomain) -> bool:
        """Whether a target, or a webhook's receiver, is at this shard."""
        return self._owner(domain) == self._own

    def announce(self, job: Job) -> bool:
        """Tell another shard of a job on disk that is its to run; say whether it is another's."""
        owner = self._owner(job.domain)
        if owner == self._own:
            return False
        self._neighbours[owner].outgoing.targets.announce(JobStored(job.id))
        return True

    def share_out(self, job: JobId, entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
        """Tell other shards of those of a job's deliveries whose receivers are there; give the others."""
        if self._cluster is None:
            return entries
        owners = {entry.id: self._owner(entry.endpoint) for entry in entries}
        for owner in dict.fromkeys(owners.values()):
            if owner != self._own:
                self._neighbours[owner].outgoing.targets.announce(DeliveriesStored(job))
        return [entry for entry in entries if owners[entry.id] == self._own]

    def drain(self) -> None:
        """Start nothing more at other shards' targets."""
        for neighbour in self._neighbours.values():
            neighbour.outgoing.targets.drain()

    def receive(self, sender: ShardName, batch: bytes) -> None:
        """Take a batch from another shard; which one, the transport says.

        Raises:
            WireError: It is no batch, or holds what no shard may say, or nobody knows that shard.
            LaterLifeError: It is for a later life of this one, which was cut off and does not know yet.

        """
        neighbour = self._find(sender)
        header, messages = neighbour.reader.read(batch)
        if header.epoch > self._epoch:
            msg = f"a batch for life {header.epoch} of this shard came to life {self._epoch}"
            raise LaterLifeError(msg)
        neighbour.outgoing.receive(header, messages)
        neighbour.incoming.receive(header, messages)

    def beat(self, sender: ShardName, beat: bytes) -> bytes:
        """Take another shard's heartbeat, and give the reply.

        Raises:
            WireError: It is none, or nobody knows that shard.

        """
        message = decode_one(beat)
        if not isinstance(message, ShardHeartbeat):
            msg = f"{type(message).__name__} is no heartbeat of a shard's"
            raise WireError(msg)
        return encode(self._find(sender).incoming.beat(message))

    async def close(self) -> None:
        """Speak to nobody any more."""
        for beating in self._beating:
            beating.cancel()
        await asyncio.gather(*self._beating, return_exceptions=True)
        for neighbour in self._neighbours.values():
            await neighbour.outgoing.close()
            await neighbour.incoming.close()

    def _owner(self, domain: TargetDomain) -> ShardName:
        return self._own if self._cluster is None else self._cluster.owner(domain)

    def _find(self, name: ShardName) -> _Neighbour:
        if (neighbour := self._neighbours.get(name)) is None:
            msg = f"there is no shard {name!r} beside this one"
            raise WireError(msg)
        return neighbour
