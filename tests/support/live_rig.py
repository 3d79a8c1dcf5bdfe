"""A real shard, executors and webhook sender in one process, over real sockets and in real time."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.domain.health.routing import HEARTBEAT_EVERY_S
from orchestrator.domain.ids import CustomerId, JobId, NodeAddress, RegionName, new_job_id, target_domain
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.webhooks.fanout import DeliveryState
from orchestrator.messages.codec import decode_one, encode
from orchestrator.messages.names import WEBHOOK_NODE, executor_address
from orchestrator.messages.types import Deliver, DeliverySigned, Heartbeat, JobResult, Message
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.egress import Egress
from orchestrator.ports.store import StoredJob
from orchestrator.ports.tracing import NO_TRACING, Tracing
from regions.executor import Executor
from regions.webhooks import WebhookSender

IAD, LAX = RegionName("iad"), RegionName("lax")
ENDS_WITHIN_S = 30.0
_LOOKS_EVERY_S = 0.005


class LiveRig:
    """Everything of a small service but its HTTP and its processes."""

    def __init__(self, egress: Egress, tracing: Tracing = NO_TRACING) -> None:
        self._tracing = tracing
        self.store = MemoryStore()
        self.clock = SystemClock()
        self._random = Random(1)
        self._egress = egress
        self._executors: dict[RegionName, Executor] = {}
        self._sender: WebhookSender
        self.shard: Shard

    async def start(self) -> None:
        """Start the shard, and let every region be heard."""
        options = ShardOptions(regions=(IAD, LAX), pace=Pace(1_000.0, 1_000))
        self.shard = Shard(
            store=self.store,
            links=self,
            clock=self.clock,
            random=Random(2),
            options=options,
            tracing=self._tracing,
        )
        for region in (IAD, LAX):
            self._executors[region] = Executor(
                self._egress, self.clock, partial(self._report, executor_address(region))
            )
            self._executors[region].unfence(math.inf)
        self._sender = WebhookSender(self._egress, self.clock, partial(self._report, WEBHOOK_NODE))
        await self.shard.start()
        self._beating = asyncio.create_task(self._beat_for_ever())

    async def stop(self) -> None:
        """End everything; the client is the caller's."""
        self._beating.cancel()
        await self.shard.stop()

    async def run(self, *, traceparent: str | None = None, **fields: Any) -> StoredJob:
        """Submit a job; return it when it has ended and nothing of it is still to be delivered at once."""
        spec = JobSpec(**({"regions": (IAD,), "metadata": {}} | fields))
        now_ms = self.clock.unix_ms()
        job_id = new_job_id(now_ms, self._random)
        job = Job(
            id=job_id,
            customer=CustomerId("cust_acme"),
            domain=target_domain(spec.url),
            idempotent_key=job_id,
            accepted_ms=now_ms,
            spec=spec,
            traceparent=traceparent,
        )
        await self.store.jobs.submit(job)
        LocalShard(self.shard).admit(job)
        async with asyncio.timeout(ENDS_WITHIN_S):
            return await self._settled(job_id)

    async def _settled(self, job_id: JobId) -> StoredJob:
        while True:
            stored = await self.store.jobs.load(job_id)
            assert stored is not None
            tried = all(entry.state is not DeliveryState.PENDING or entry.log for entry in stored.deliveries)
            if stored.state.ended and tried:
                return stored
            await asyncio.sleep(_LOOKS_EVERY_S)

    def link(self, to: NodeAddress) -> "_Link":
        """Make the shard's link to a region."""
        return _Link(self, to.region)

    def deliver(self, region: RegionName, message: Message) -> None:
        """Bring a message to an executor or to the sender, as it comes off the wire."""
        received = decode_one(encode(message))
        if isinstance(received, Deliver | DeliverySigned | JobResult):
            self._sender.receive(received)
        elif region in self._executors:
            self._executors[region].receive(received)

    def _report(self, sender: NodeAddress, message: Message) -> None:
        self.shard.receive(sender, decode_one(encode(message)))

    async def _beat_for_ever(self) -> None:
        while True:
            for node in (*map(executor_address, self._executors), WEBHOOK_NODE):
                self.shard.heartbeat(node, Heartbeat("one", self.shard.epoch), "boot")
            await asyncio.sleep(HEARTBEAT_EVERY_S)


class _Link:
    def __init__(self, rig: LiveRig, region: RegionName) -> None:
        self._rig = rig
        self._region = region
        self.mail = MailShare(MailRoom())

    def post(self, message: Message, count: MailCount | None = None) -> None:
        asyncio.get_running_loop().call_soon(self._rig.deliver, self._region, message)
        if count is not None:
            count.give_back(0)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Nothing waits here."""

    def stuck_s(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Nothing waits here."""


@asynccontextmanager
async def live_rig(egress: Egress, tracing: Tracing = NO_TRACING) -> AsyncIterator[LiveRig]:
    """Run a rig over a client."""
    rig = LiveRig(egress, tracing)
    await rig.start()
    try:
        yield rig
    finally:
        await rig.stop()
