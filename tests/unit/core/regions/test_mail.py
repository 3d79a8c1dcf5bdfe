"""What waits in a shard's mailboxes to all of its nodes has one bound, and goes on as these take it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from random import Random

import pytest

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.regions.node import MailboxLinks
from orchestrator.core.regions.peers import NODES_MOST, PeerBook
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.targets.answer_intake import ANSWERS_BYTES, COPIES
from orchestrator.domain.byte_budget import MIB
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.health.routing import HEARTBEAT_EVERY_S
from orchestrator.domain.ids import (
    AttemptId,
    CustomerId,
    NodeAddress,
    NodeName,
    RegionName,
    new_job_id,
    target_domain,
)
from orchestrator.domain.jobs.job import Job, JobSpec, Webhook
from orchestrator.domain.mail_room import MAIL_BYTES
from orchestrator.domain.pace.pacing import Pace
from orchestrator.messages.codec import BatchReader
from orchestrator.messages.names import WEBHOOK_NODE, executor_address
from orchestrator.messages.types import (
    AttemptDone,
    CancelAttempt,
    Deliver,
    Delivered,
    Heartbeat,
    JobResult,
    Message,
    NeedResult,
    RunAttempt,
)
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.transport import Carrier

REGIONS = tuple(map(RegionName, ("iad", "lax", "ord", "fra")))
NODES = (*map(executor_address, REGIONS), WEBHOOK_NODE)
WITHIN_S = 20.0


Counted = Deliver | JobResult | RunAttempt


def name(message: Counted) -> str:
    match message:
        case Deliver():
            return message.delivery
        case JobResult():
            return message.job
        case RunAttempt():
            return message.attempt


class Ways:
    """The ways to all nodes: on those that are ``shut`` nothing arrives until they open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.arrived: defaultdict[NodeAddress, list[Message]] = defaultdict(list)
        self.shut: set[NodeAddress] = set()

    def carrier(self, to: NodeAddress) -> Carrier:
        reader = BatchReader()

        async def carry(batch: bytes) -> None:
            if to in self.shut:
                await self.open.wait()
            self.arrived[to] += reader.read(batch)[1]

        return carry

    def count(self, kind: type[Counted]) -> int:
        """Count what has arrived, each once."""
        came = [message for messages in self.arrived.values() for message in messages]
        return len({name(message) for message in came if isinstance(message, kind)})


class Rig:
    """A shard whose nodes beat, and do nothing."""

    def __init__(self) -> None:
        self.ways = Ways()
        self.links = MailboxLinks(self.ways)
        self.store = MemoryStore()
        self.clock = SystemClock()
        self._random = Random(1)
        options = ShardOptions(regions=REGIONS, pace=Pace(10_000.0, 10_000))
        self.shard = Shard(
            store=self.store, links=self.links, clock=self.clock, random=Random(2), options=options
        )

    @property
    def waiting(self) -> int:
        return self.links._room.used

    async def begin(self) -> None:
        await self.shard.start()
        self._beat()
        self._beating = asyncio.create_task(self._beat_for_ever())

    async def end(self) -> None:
        self._beating.cancel()
        self.ways.open.set()
        await self.shard.stop()

    def _beat(self) -> None:
        for node in NODES:
            self.shard.heartbeat(node, Heartbeat("one", self.shard.epoch), "boot")

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_EVERY_S)
            self._beat()

    async def submit(self, number: int, *regions: RegionName, **fields: object) -> None:
        now_ms = self.clock.unix_ms()
        job_id = new_job_id(now_ms, self._random)
        spec = JobSpec(url=f"http://{number}.example/", metadata={}, regions=regions, **fields)
        job = Job(
            id=job_id,
            customer=CustomerId("cust_acme"),
            domain=target_domain(spec.url),
            idempotent_key=job_id,
            accepted_ms=now_ms,
            spec=spec,
        )
        await self.store.jobs.submit(job)
        self.shard.jobs.admit(job)

    async def until(self, kind: type[Counted], count: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.ways.count(kind) < count:  # noqa: ASYNC110  # a way is asked, and tells nobody
                await asyncio.sleep(0.01)

    async def settles(self) -> None:
        """Wait until nothing more is put into a mailbox."""
        before = -1
        while self.waiting != before:
            before = self.waiting
            await asyncio.sleep(0.1)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.begin()
    yield rig
    await rig.end()


async def test_large_requests_to_many_nodes_share_one_room_and_all_arrive(rig: Rig) -> None:
    rig.ways.shut = set(NODES)
    for number in range(48):
        await rig.submit(number, REGIONS[number % len(REGIONS)], method="POST", body="a" * MIB)
    await rig.settles()
    assert MAIL_BYTES / 2 < rig.waiting <= MAIL_BYTES + MIB

    rig.ways.open.set()

    await rig.until(RunAttempt, 48)


async def test_a_node_that_takes_nothing_leaves_room_for_the_others(rig: Rig) -> None:
    rig.ways.shut = {executor_address(REGIONS[0])}
    for number in range(24):
        await rig.submit(number, REGIONS[0], method="POST", body="a" * MIB)
    await rig.settles()
    for number in range(8):
        await rig.submit(number, REGIONS[1], method="POST", body="a" * MIB)
    await rig.until(RunAttempt, 8)


async def ended_jobs(rig: Rig, count: int, body: bytes) -> None:
    """Run jobs with a receiver each, all of which are answered with such a body."""
    for number in range(count):
        hook = Webhook(url=f"http://receiver-{number}.example/")
        await rig.submit(number, REGIONS[0], webhooks=(hook,))
    await rig.until(RunAttempt, count)
    for message in rig.ways.arrived[executor_address(REGIONS[0])]:
        if isinstance(message, RunAttempt):
            answer = HttpResponse(status=200, headers={}, body=body)
            done = AttemptDone(message.attempt, rig.clock.now(), answer)
            rig.shard.receive(executor_address(REGIONS[0]), done)


async def test_deliveries_wait_for_room_on_their_way_to_a_sender_too_and_all_arrive(rig: Rig) -> None:
    rig.ways.shut = {WEBHOOK_NODE}
    await ended_jobs(rig, 250, b"a" * 60_000)
    await rig.settles()
    assert MAIL_BYTES / 4 < rig.waiting <= MAIL_BYTES / 2 + MIB

    rig.ways.open.set()

    await rig.until(Deliver, 250)


async def test_large_results_on_their_way_to_a_sender_have_the_room_of_large_answers(rig: Rig) -> None:
    await ended_jobs(rig, 30, b"a" * MIB)
    await rig.until(Deliver, 15)
    await rig.settles()
    rig.ways.shut = {WEBHOOK_NODE}
    for message in list(rig.ways.arrived[WEBHOOK_NODE]):
        if isinstance(message, Deliver):
            rig.shard.receive(WEBHOOK_NODE, NeedResult(message.delivery, message.attempt, has_body=False))
    await asyncio.sleep(0.2)
    one = COPIES * MIB
    assert ANSWERS_BYTES / 2 - one < rig.shard.answers.used <= ANSWERS_BYTES / 2 + one
    assert rig.waiting < MAIL_BYTES / 2, "a node's other mail goes on"

    rig.ways.open.set()

    await rig.until(JobResult, rig.ways.count(Deliver))
    await rig.settles()
    assert rig.shard.answers.used == 0


async def test_a_large_result_that_its_sender_has_given_up_meanwhile_is_not_brought(rig: Rig) -> None:
    await ended_jobs(rig, 1, b"a" * MIB)
    await rig.until(Deliver, 1)
    others = await rig.shard.answers.lend(CustomerId("cust_acme"), ANSWERS_BYTES)
    [sent] = [message for message in rig.ways.arrived[WEBHOOK_NODE] if isinstance(message, Deliver)]
    rig.shard.receive(WEBHOOK_NODE, NeedResult(sent.delivery, sent.attempt, has_body=False))
    await asyncio.sleep(0)
    rig.ways.shut = {WEBHOOK_NODE}
    rig.shard.receive(WEBHOOK_NODE, Delivered(sent.delivery, sent.attempt, None, 50_000, "it did not come"))

    others.give_back(0)

    await rig.settles()
    assert rig.shard.answers.used == 0


async def test_a_node_that_is_forgotten_leaves_nothing_on_its_way() -> None:
    ways, region = Ways(), RegionName("agents")
    links = MailboxLinks(ways)
    book = PeerBook([], links, SystemClock())
    book.join(region)
    before = asyncio.all_tasks()
    for number in range(3 * NODES_MOST):
        address = NodeAddress(region, NodeName(f"agent-{number}"))
        ways.shut.add(address)
        assert book.find_or_add(address) is not None
        book.post(address, CancelAttempt(AttemptId("s.1.1")))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(book.all()) == NODES_MOST
    assert len(asyncio.all_tasks() - before) == NODES_MOST
    assert links._room.used == sum(node.link.mail.held for node in book.all())
    await book.close()
