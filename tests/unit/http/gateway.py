"""The HTTP API over a real shard and the store in memory; its executors are the test's to play."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from orchestrator.adapters.http.app import make_app
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.fast_lane import FastLane
from orchestrator.adapters.http.large_answers import SharedResults
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.target_guard import ResolvingGuard
from orchestrator.core.gateway.gateway import Gateway as Core
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.domain.access.roles import Role
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import CustomerId, NodeAddress, RegionName
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.domain.pace.known_domains import KnownDomains
from orchestrator.messages.names import executor_address
from orchestrator.messages.types import AttemptDone, Heartbeat, Message, RunAttempt
from orchestrator.ports.clock import SystemClock
from tests.unit.domain.builders import ACME, REGIONS

BETA = CustomerId("cust_beta")
KEY, BETAS_KEY = "ck_live_cust_acme_s3cret", "ck_live_cust_beta_s3cret"
OPERATORS_KEY = "ck_live_cust_ops_s3cret"
READERS_KEY, REGIONS_KEY = "ck_live_cust_acme_r3ader", "ck_live_regions_s3cret"
TARGET = "http://203.0.113.7/pay?order=7"
"""An address of documentation: here the operator has lifted the guard for it, and nothing is sent."""
JOBS = "/api/v1/jobs"
SECRETS = "/api/v1/webhook-secrets"
BOUNDS = SubmissionBounds(body_bytes=64 * 1024)


class MovableClock(SystemClock):
    """Real time, which a test may move on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s

    def boot_s(self) -> float:
        return super().boot_s() + self.ahead_s

    def unix_ms(self) -> int:
        return super().unix_ms() + int(self.ahead_s * 1000)


@dataclass
class SilentLink:
    """Swallows what is sent to an executor, and remembers it."""

    posted: list[Message] = field(default_factory=list)
    stuck_for_s: float = 0.0
    mail: MailShare = field(default_factory=lambda: MailShare(MailRoom()))

    def post(self, message: Message, count: MailCount | None = None) -> None:
        self.posted.append(message)
        if count is not None:
            count.give_back(0)

    def readdress(self, epoch: int, incarnation: str) -> None:
        self.posted.clear()

    def stuck_s(self) -> float:
        return self.stuck_for_s

    async def close(self) -> None:
        self.posted.clear()


@dataclass
class SilentLinks:
    """Links by region."""

    by_region: dict[RegionName, SilentLink] = field(default_factory=dict)

    def link(self, to: NodeAddress) -> SilentLink:
        return self.by_region.setdefault(to.region, SilentLink())


@dataclass
class Gateway:
    """The application with everything behind it, and a client in front."""

    shard: Shard
    store: MemoryStore
    links: SilentLinks
    clock: MovableClock
    backend: Backend
    client: httpx.AsyncClient

    async def post(self, content: bytes | str, **headers: str) -> httpx.Response:
        """Submit these very bytes."""
        return await self.client.post(JOBS, content=content, headers=headers)

    async def submit(self, **fields: Any) -> httpx.Response:
        """Submit a job with these fields, to the usual target if they name no other."""
        return await self.post(json.dumps({"url": TARGET} | fields))

    def regions_up(self) -> None:
        """Let every executor be heard."""
        for region in REGIONS:
            beat = Heartbeat("one", self.shard.epoch)
            self.shard.heartbeat(executor_address(region), beat, "boot")

    def answer_attempts(self, status: int = 200, body: bytes = b"done", **headers: str) -> int:
        """Play the executors: answer every attempt that was sent, and say how many there were."""
        sent = [
            (region, message)
            for region, link in self.links.by_region.items()
            for message in link.posted
            if isinstance(message, RunAttempt)
        ]
        for link in self.links.by_region.values():
            link.posted.clear()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        for region, message in sent:
            response = HttpResponse(status=status, headers={"x-from": "target"} | told, body=body)
            done = AttemptDone(message.attempt, self.clock.now(), response)
            self.shard.receive(executor_address(region), done)
        return len(sent)


async def turns() -> None:
    """Give every callback that is due its turn of the event loop."""
    for _ in range(30):
        await asyncio.sleep(0)


async def running_gateway(*, bounds: SubmissionBounds = BOUNDS) -> AsyncIterator[Gateway]:
    """Start a shard over an empty store, with two customers."""
    store, links, clock = MemoryStore(), SilentLinks(), MovableClock()
    for key, customer in ((KEY, ACME), (BETAS_KEY, BETA)):
        store.customers.know(key, customer)
    store.customers.know(OPERATORS_KEY, CustomerId("cust_ops"), role=Role.ADMIN)
    store.customers.know(READERS_KEY, ACME, role=Role.READ, key_id="reader of cust_acme")
    store.customers.know(REGIONS_KEY, CustomerId("regions"), role=Role.REGION)
    options = ShardOptions(regions=REGIONS, known=KnownDomains(weights={"pro": 1, "gold": 4}))
    shard = Shard(store=store, links=links, clock=clock, random=Random(1), options=options)
    await shard.start()
    guard = ResolvingGuard(allow_private=False, allow_targets="203.0.113.0/24", clock=clock)
    core = Core(
        LocalShard(shard), store, clock, guard=guard, random=Random(2), bounds=bounds, regions=REGIONS
    )
    backend = Backend(
        gateway=core,
        keys=ApiKeyAuthenticator(core.customers, clock),
        bounds=bounds,
        results=SharedResults(core.jobs),
    )
    transport = httpx.ASGITransport(FastLane(make_app(backend), backend))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client:
        yield Gateway(shard, store, links, clock, backend, client)
    await shard.stop()
