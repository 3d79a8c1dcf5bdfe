"""A shard under a virtual clock with real webhook senders, and receivers that behave as a test says."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.regions.peers import WEBHOOKS
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.webhooks.queued import LoadedResult
from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.domain.webhooks.fanout import DeliveryOptions
from orchestrator.messages.names import WEBHOOK_NODE, executor_address
from orchestrator.messages.types import Deliver, DeliverySigned, Heartbeat, JobResult, Message
from orchestrator.ports.egress import EgressError, Gate, Timed
from orchestrator.ports.store import OutboxEntry, StoredJob
from regions.webhooks import WebhookSender
from tests.conformance.stores import a_course, an_ending
from tests.support.virtual_loop import Process, VirtualClock, VirtualLoop
from tests.unit.domain.builders import NOW_MS, REGIONS, a_job

BEAT_S = 0.5
ANSWERS_AFTER_S = 0.01

_T = TypeVar("_T")
Answer = int | Fault | tuple[int, dict[str, str]]
"""A status, a fault, or a status with headers."""
Behaviour = Callable[[float], Answer]
"""How a receiver answers at a time in virtual s."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A webhook that was sent: virtual s, whose, from where, and how it was met."""

    at: float
    host: str
    region: RegionName
    webhook_id: str
    answer: Answer

    @property
    def accepted(self) -> bool:
        return self.answer == 200


class PostOffice:
    """Plays peers and receivers round a real shard; ``restart`` is a ``kill -9`` of the shard's process."""

    def __init__(self, *, options: DeliveryOptions | None = None, beating: bool = True) -> None:
        self.loop = VirtualLoop(Random(7))
        self.clock = VirtualClock(self.loop, epoch_ms=NOW_MS)
        self.store = MemoryStore()
        self.receivers: dict[str, Behaviour] = {}
        self.arrivals: list[Arrival] = []
        self.down: set[RegionName] = set()
        self.busy: dict[str, int] = {}
        self.busiest: dict[str, int] = {}
        self.signed: list[dict[str, str]] = []
        """The headers of webhooks that arrived, one after the other."""
        self.carried: list[Message] = []
        """What went to senders."""
        self.results_carried = 0
        """Large results that went to a sender."""
        self.shard: Shard
        self._beating = beating
        self._options = options or DeliveryOptions()
        self._senders: dict[RegionName, WebhookSender] = {}
        self._process: Process
        self._jobs = 0

    def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Start a shard, run a test beside it, and drop everything."""
        return self.loop.run(self._run(work))

    async def _run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        for name in (*REGIONS, WEBHOOKS):
            egress = _Receivers(self, name)
            self._senders[name] = WebhookSender(egress, self.clock, partial(self._report, _address(name)))
        await self.start()
        return await work()

    async def start(self) -> None:
        """Start a shard over what is on disk."""
        self._process = self.loop.process("shard")
        await self.inside(self._begin())
        if self._beating:
            self._beat()

    async def restart(self) -> None:
        """Kill the shard, and start another."""
        self._process.kill()
        await self.start()

    async def drain(self, timeout_s: float) -> float:
        """Stop the shard as SIGTERM does; say how many s it took."""
        began = self.loop.time()
        await self.inside(self.shard.drain(timeout_s))
        return self.loop.time() - began

    async def until(self, at_s: float) -> None:
        """Wait until a time in virtual s."""
        await asyncio.sleep(at_s - self.loop.time())

    async def tell(self, *webhooks: Webhook, body: bytes = b'{"status":"success"}', **fields: object) -> Job:
        """End a job: its result is on disk, and goes to these."""
        self._jobs += 1
        job = a_job(self._jobs, webhooks=webhooks, **fields)
        await self.store.jobs.submit(job)
        ending = an_ending(job, ended_ms=self.clock.unix_ms(), result=body, course=a_course(job))
        ending = replace(ending, outbox=tuple(self._due_now(entry) for entry in ending.outbox))
        await self.store.jobs.end(ending)
        result = LoadedResult.of_end(job, ending)
        self._process.call_soon(self.shard.webhooks.dispatcher.deliver, result, ending.outbox)
        return job

    async def stored(self, job: Job) -> StoredJob:
        """Read a job as its owner sees it."""
        found = await self.store.jobs.load(job.id)
        assert found is not None
        return found

    def at(self, host: str) -> list[Arrival]:
        """List what came to a host."""
        return [arrival for arrival in self.arrivals if arrival.host == host]

    def _due_now(self, entry: OutboxEntry) -> OutboxEntry:
        return replace(entry, next_ms=self.clock.unix_ms())

    async def _begin(self) -> None:
        self.shard = Shard(
            store=self.store,
            links=self,
            clock=self.clock,
            random=Random(1),
            options=ShardOptions(regions=REGIONS, delivery=self._options),
        )
        await self.shard.start()

    async def inside(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something in the shard's process."""
        answer: asyncio.Future[_T] = self.loop.create_future()
        task = self._process.spawn(work)
        task.add_done_callback(lambda done: self.loop.outside.call_soon(answer.set_result, done.result()))
        return await answer

    def link(self, to: NodeAddress) -> "_Link":
        """Make the link to one peer."""
        return _Link(self, to.region)

    def carry(self, region: RegionName, message: Message) -> None:
        """Take a message to a peer, if it is there."""
        if isinstance(message, Deliver | JobResult | DeliverySigned) and region not in self.down:
            self.carried.append(message)
            self.results_carried += isinstance(message, JobResult)
            self.loop.outside.call_soon(self._senders[region].receive, message)

    def _report(self, sender: NodeAddress, message: Message) -> None:
        self._process.call_soon(self.shard.receive, sender, message)

    def _beat(self) -> None:
        for name in (*REGIONS, WEBHOOKS):
            if name not in self.down:
                beat = Heartbeat("one", self.shard.epoch)
                self._process.call_soon(self.shard.heartbeat, _address(name), beat, "boot")
        self._process.call_at(self.loop.time() + BEAT_S, self._beat)


@dataclass(slots=True)
class _Link:
    office: PostOffice
    region: RegionName
    mail: MailShare = field(default_factory=lambda: MailShare(MailRoom()))

    def post(self, message: Message, count: MailCount | None = None) -> None:
        self.office.carry(self.region, message)
        if count is not None:
            count.give_back(0)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Nothing waits here."""

    def stuck_s(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Nothing waits here."""


class _Receivers:
    """The Egress port of one sender."""

    def __init__(self, office: PostOffice, region: RegionName) -> None:
        self._office = office
        self._region = region

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        office, host = self._office, urlsplit(request.url).netloc
        await gate()
        office.busy[host] = office.busy.get(host, 0) + 1
        office.busiest[host] = max(office.busiest.get(host, 0), office.busy[host])
        try:
            return await self._meet(host, request)
        finally:
            office.busy[host] -= 1

    async def _meet(self, host: str, request: HttpRequest) -> HttpResponse:
        office = self._office
        met = office.receivers[host](office.loop.time())
        office.signed.append(dict(request.headers))
        webhook_id = office.signed[-1]["webhook-id"]
        office.arrivals.append(Arrival(office.loop.time(), host, self._region, webhook_id, met))
        await asyncio.sleep(request.timeout_ms / 1000 if met is Fault.TIMEOUT else ANSWERS_AFTER_S)
        if isinstance(met, Fault):
            raise EgressError(met, "as the test says")
        status, headers = met if isinstance(met, tuple) else (met, {})
        shown = {name: text.replace("\n", ", ") for name, text in headers.items()}
        repeated = {name: text for name, text in headers.items() if "\n" in text}
        return HttpResponse(status=status, headers=shown, body=b"", repeated=repeated)

    async def close(self) -> None:
        """Nothing is held."""


def _address(region: RegionName) -> NodeAddress:
    return WEBHOOK_NODE if region == WEBHOOKS else executor_address(region)


def up(_now: float) -> Answer:
    """Accept."""
    return 200


def hangs(_now: float) -> Answer:
    """Never answer."""
    return Fault.TIMEOUT


def refuses(_now: float) -> Answer:
    """Let nobody connect."""
    return Fault.CONNECT


def down_until(at_s: float) -> Behaviour:
    """Let nobody connect before a time, and accept then."""
    return lambda now: 200 if now >= at_s else Fault.CONNECT


def hook(host: str, *regions: RegionName, path: str = "/hook") -> Webhook:
    """Name a receiver."""
    return Webhook(url=f"http://{host}{path}", regions=regions)
