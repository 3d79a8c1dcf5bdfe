"""A real shard and real executors in one process under virtual time; targets answer as the test says."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from orchestrator.adapters.memory.jobs import MemoryJobs
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.health.routing import HEARTBEAT_EVERY_S
from orchestrator.domain.ids import CustomerId, JobId, NodeAddress, RegionName, new_job_id, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.domain.pace.pacing import Pace
from orchestrator.messages.names import executor_address
from orchestrator.messages.types import Heartbeat, Message
from orchestrator.ports.egress import EgressError, Gate, Timed
from orchestrator.ports.store import Accepted, DamagedError, Duplicate, Ending, StoredJob, StoreFailure
from regions.executor import Executor
from tests.support.virtual_loop import Process, VirtualClock, VirtualLoop

IAD, LAX, ORD = (RegionName(name) for name in ("iad", "lax", "ord"))
EPOCH_MS = 1_763_674_210_000
URL = "https://api.example.com/"
FAST = Pace(1_000.0, 1_000)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a target saw; ``at`` is virtual s."""

    at: float
    region: RegionName
    url: str
    job_id: JobId
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What it answers, or how the exchange breaks; ``fault`` CONNECT breaks it before the first byte."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.01
    fault: Fault | None = None
    body: bytes = b""


Answer = Callable[[Call], Reply]


class RigJobs(MemoryJobs):
    """A store that may take its time to read a job, to write a mark, or a job's end."""

    load_takes_s = 0.0
    ending_takes_s = 0.0
    marking_takes_s = 0.0
    loses_notes = False
    """Of how far jobs are: nobody waits for these."""
    beats_fail = False
    loads = 0
    damaged = False
    """Whether no request can be read any more."""

    async def load(self, job_id: JobId) -> StoredJob | None:
        """Read one job whole."""
        self.loads += 1
        if self.load_takes_s:
            await asyncio.sleep(self.load_takes_s)
        if self.damaged:
            raise DamagedError("bits rotted")
        return await super().load(job_id)

    async def end(self, ending: Ending) -> Sequence[Accepted | Duplicate]:
        """Write down a job's end."""
        if self.ending_takes_s:
            await asyncio.sleep(self.ending_takes_s)
        return await super().end(ending)

    def note_course(self, job_id: JobId, customer: CustomerId, state: JobState, course: Course) -> None:
        """Save how far a job is."""
        if not self.loses_notes:
            super().note_course(job_id, customer, state, course)

    async def beat(self) -> None:
        """Say that this shard goes on."""
        if self.beats_fail:
            raise StoreFailure
        await super().beat()

    async def mark(self, mark: Mark) -> bool:
        """Write down that an attempt may have been sent."""
        await asyncio.sleep(self.marking_takes_s)
        return await super().mark(mark)


class RigStore(MemoryStore):
    """A store in memory whose jobs may take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: RigJobs = RigJobs(self.tables)


class Rig:
    """Everything of a small service but its HTTP and its processes."""

    def __init__(
        self, loop: VirtualLoop, pace: Pace, regions: tuple[RegionName, ...] = (IAD, LAX, ORD)
    ) -> None:
        self.loop = loop
        self.clock = VirtualClock(loop, epoch_ms=EPOCH_MS)
        self.store = RigStore()
        self.calls: list[Call] = []
        self.log = True
        self.received: Counter[type[Message]] = Counter()
        """What executors were sent, by kind."""
        self.answer: Answer = lambda call: Reply()
        self.connects_in_s: dict[RegionName, float] = {}
        """How long a region takes for a connection."""
        self.alive = set(regions)
        self._random = Random(1)
        self._executors: dict[RegionName, Executor] = {}
        self._regions = regions
        self.shard: Shard
        self._process: Process
        self._pace = pace

    async def begin(self) -> None:
        """Start the shard, and let every region be heard."""
        await self._start()
        self._beat_for_ever()

    async def restart(self, *, regions: tuple[RegionName, ...] = (), drain_s: float | None = None) -> None:
        """Start everything again over what is on disk, after ``kill -9`` of all processes or an
        orderly stop; with other ``regions`` where these are named.
        """
        if drain_s is not None:
            await self._process.spawn(self._stop(drain_s))
        self._process.kill()
        self._regions = regions or self._regions
        await self._start()
        self._beat()

    async def _start(self) -> None:
        self._process = self.loop.process("the service")
        await self._process.spawn(self._live())

    async def _stop(self, drain_s: float) -> None:
        await self.shard.drain(drain_s)
        await self.shard.stop()

    async def _live(self) -> None:
        options = ShardOptions(regions=self._regions, pace=self._pace)
        self.shard = Shard(store=self.store, links=self, clock=self.clock, random=Random(2), options=options)
        for region in self._regions:
            egress = _Egress(self, region)
            self._executors[region] = Executor(
                egress, self.clock, partial(self.shard.receive, executor_address(region))
            )
            self._executors[region].unfence(math.inf)
        await self.shard.start()

    async def submit(self, *, customer: str = "cust_acme", **fields: Any) -> JobId:
        """Take a job in, and say its id."""
        job = await self.store_job(customer=customer, **fields)
        self.admit(job)
        return job.id

    async def store_job(self, *, customer: str = "cust_acme", **fields: Any) -> Job:
        """Put a job on disk that the shard has not heard of."""
        spec = JobSpec(**({"url": URL, "regions": (IAD,), "metadata": {}} | fields))
        now_ms = self.clock.unix_ms()
        job_id = new_job_id(now_ms, self._random)
        job = Job(
            id=job_id,
            customer=CustomerId(customer),
            domain=target_domain(spec.url),
            idempotent_key=job_id,
            accepted_ms=now_ms,
            spec=spec,
        )
        await self.store.jobs.submit(job)
        return job

    def admit(self, job: Job) -> None:
        """Let the shard hear of a job that is on disk."""
        self._process.context.run(self.shard.jobs.admit, job)

    async def show(self, job_id: JobId) -> StoredJob:
        """Read a job."""
        stored = await self.store.jobs.load(job_id)
        assert stored is not None
        return stored

    async def ended(self, job_id: JobId, within_s: float = 120.0) -> StoredJob:
        """Wait for a job's end."""
        if not (await self.show(job_id)).state.ended:
            with self.shard.jobs.board.watch(job_id) as watch:
                await watch.end(within_s)
        stored = await self.show(job_id)
        assert stored.state.ended, f"{job_id} is {stored.state} after {within_s} s"
        return stored

    async def run(self, **fields: Any) -> StoredJob:
        """Submit a job and wait for its end."""
        return await self.ended(await self.submit(**fields))

    def seen(self, job_id: JobId) -> list[RegionName]:
        """Say in which regions a job's requests went out."""
        return [call.region for call in self.calls if call.job_id == job_id]

    def link(self, to: NodeAddress) -> "_Link":
        """Make the shard's link to a region."""
        return _Link(self, to.region)

    def deliver(self, region: RegionName, message: Message) -> None:
        """Bring a message to an executor, unless its region is down."""
        if region != WEBHOOKS and region in self.alive:
            self._executors[region].receive(message)
            self.received[type(message)] += 1

    def rest(self, timeout_s: float) -> "asyncio.Task[int]":
        """Let the shard rest, in its own process."""
        return self._process.spawn(self.shard.rest(timeout_s))

    def stall(self, seconds: float) -> None:
        """Give the shard and its executors no time to run, as a machine does where others have it all."""
        self._process.stall(seconds)

    def _beat(self) -> None:
        for region in self.alive:
            beat = Heartbeat("one", self.shard.epoch)
            self._process.context.run(self.shard.heartbeat, executor_address(region), beat, "boot")

    def _beat_for_ever(self) -> None:
        self._beat()
        self.loop.call_later(HEARTBEAT_EVERY_S, self._beat_for_ever)


@dataclass(frozen=True, slots=True)
class _Link:
    rig: Rig
    region: RegionName
    mail: MailShare = field(default_factory=lambda: MailShare(MailRoom()))

    def post(self, message: Message, count: MailCount | None = None) -> None:
        self.rig.loop.call_soon(self.rig.deliver, self.region, message)
        if count is not None:
            count.give_back(0)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Nothing waits here."""

    def stuck_s(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Nothing waits here."""


@dataclass(frozen=True, slots=True)
class _Egress:
    rig: Rig
    region: RegionName

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        job_id = JobId(dict(request.headers)["X-EZThrottle-Job-Id"])
        await asyncio.sleep(self.rig.connects_in_s.get(self.region, 0.0))
        call = Call(self.rig.loop.time(), self.region, request.url, job_id, request.body)
        reply = self.rig.answer(call)
        if reply.fault is not Fault.CONNECT:
            await gate()
        if self.rig.log:
            self.rig.calls.append(call)
        limit_s = request.timeout_ms / 1000
        await asyncio.sleep(min(reply.after_s, limit_s))
        if reply.after_s > limit_s:
            raise EgressError(Fault.TIMEOUT, "no answer in time")
        if reply.fault is not None:
            raise EgressError(reply.fault, str(reply.fault))
        return HttpResponse(status=reply.status, headers=reply.headers, body=reply.body)

    async def close(self) -> None:
        """Nothing is held."""


Story = Callable[[Rig], Awaitable[None]]


def in_virtual_time(
    pace: Pace = FAST, *, down: tuple[RegionName, ...] = ()
) -> Callable[[Story], Callable[[], None]]:
    """Make a test of a story that plays in a rig; hours of it take moments."""

    def make(story: Story) -> Callable[[], None]:
        def test() -> None:
            loop = VirtualLoop(Random(1))
            rig = Rig(loop, pace)
            rig.alive -= set(down)
            loop.run(_play(story, rig))

        test.__name__ = getattr(story, "__name__", "test")
        return test

    return make


async def _play(story: Story, rig: Rig) -> None:
    await rig.begin()
    await story(rig)
    await rig.shard.stop()
