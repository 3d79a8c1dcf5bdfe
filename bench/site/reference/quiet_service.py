"""The service with nothing to do, in memory: what it says of itself is what the reference tells."""

import asyncio
from random import Random
from typing import Any

from msgspec.structs import replace

from orchestrator.adapters.http.app import make_app
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.large_answers import SharedResults
from orchestrator.adapters.memory.store import MemoryStore
from orchestrator.adapters.target_guard import ResolvingGuard
from orchestrator.core.gateway.gateway import Gateway
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.shard import Shard
from orchestrator.core.shard_options import ShardOptions
from orchestrator.core.views import Numbers
from orchestrator.domain.ids import NodeAddress
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.mail_room import MailCount, MailRoom, MailShare
from orchestrator.messages.types import Message
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.links import RegionLink
from orchestrator.ports.store_numbers import DiskRoom

_ROOM = DiskRoom(size_bytes=0, free_bytes=0, database_bytes=0, log_bytes=0)


class _Silence:
    """Whom a shard without work has to say nothing to."""

    def __init__(self) -> None:
        self.mail = MailShare(MailRoom())

    def post(self, message: Message, count: MailCount | None = None) -> None:  # noqa: ARG002  # it is forgotten
        """Forget a message."""
        if count is not None:
            count.give_back(0)

    def readdress(self, epoch: int, incarnation: str) -> None:
        """Stay silent."""

    def stuck_s(self) -> float:
        """Say that nothing is on its way (s)."""
        return 0.0

    async def close(self) -> None:
        """Stay silent."""


class _SilentLinks:
    def link(self, to: NodeAddress) -> RegionLink:  # noqa: ARG002  # nobody is behind any address
        return _Silence()


def described_api() -> dict[str, Any]:
    """Give what the service answers at /openapi.json."""
    return asyncio.run(_described())


def counted() -> Numbers:
    """Give everything that the service counts, with a store that lies on a disk."""
    return asyncio.run(_counted())


async def _described() -> dict[str, Any]:
    backend = _backend(MemoryStore())
    described: dict[str, Any] = make_app(backend).openapi()
    return described


async def _counted() -> Numbers:
    store = MemoryStore()
    numbers = await _backend(store).gateway.numbers()
    assert numbers.store is not None
    return replace(numbers, store=replace(numbers.store, room=_ROOM))


def _backend(store: MemoryStore) -> Backend:
    clock, random, bounds = SystemClock(), Random(0), SubmissionBounds()
    shard = Shard(
        store=store, links=_SilentLinks(), clock=clock, random=random, options=ShardOptions(regions=())
    )
    gateway = Gateway(
        LocalShard(shard),
        store,
        clock,
        guard=ResolvingGuard(allow_private=False, allow_targets="", clock=clock),
        random=random,
        bounds=bounds,
        regions=(),
    )
    keys, results = ApiKeyAuthenticator(gateway.customers, clock), SharedResults(gateway.jobs)
    return Backend(gateway=gateway, keys=keys, bounds=bounds, results=results)
