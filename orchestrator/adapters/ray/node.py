"""The Ray actor of a shard and the gateway in front of it: one process, one event loop."""

import asyncio
import logging
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import ray

from orchestrator.adapters.agents.door import AgentDoor, NodesAndAgents, server_tls
from orchestrator.adapters.domains_file import load_known_domains
from orchestrator.adapters.http.authentication import ApiKeyAuthenticator
from orchestrator.adapters.http.backend import Backend
from orchestrator.adapters.http.large_answers import SharedResults
from orchestrator.adapters.http.serving import listen, make_servers
from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.ray.transport import NodesOverRay
from orchestrator.adapters.stores import open_store
from orchestrator.adapters.target_guard import ResolvingGuard
from orchestrator.core.gateway.gateway import Gateway
from orchestrator.core.gateway.local_shard import LocalShard
from orchestrator.core.node import MailboxLinks, ShardNode
from orchestrator.core.shard import Shard, ShardOptions
from orchestrator.domain.fanout import DeliveryOptions, Schedule
from orchestrator.domain.ids import NodeAddress, RegionName
from orchestrator.domain.pacing import Pace
from orchestrator.domain.placement import Placement
from orchestrator.domain.retention import DAY_MS, Retention
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.store import Store
from orchestrator.ports.transport import NodeTransport
from orchestrator.runtime.allocator import give_memory_back
from orchestrator.runtime.gc_tuning import spare_the_collector
from orchestrator.runtime.log_file import log_to
from orchestrator.settings import Settings
from orchestrator.wire import names
from orchestrator.wire.local_link import LocalExchange
from regions.clock_offset import boot_id

LOG_FILE = "service.log"

log = logging.getLogger(__name__)


class ShardActor:
    """Hosts store, shard and gateway. Ray's own restart reruns ``__init__`` only: all begins there."""

    async def __init__(self, carried: dict[str, str], socket: str) -> None:  # type: ignore[misc]  # Ray awaits it
        settings = Settings.carried(carried)
        log_to(settings.data_dir / LOG_FILE)
        self._loop = asyncio.get_running_loop()
        store = open_store(settings.data_dir, _retention(settings))
        self._exchange = LocalExchange(lambda name: self._node.taker(NodeAddress.read(name)))
        self._door = AgentDoor(store.customers, lambda: self._node)
        nodes = NodesAndAgents(NodesOverRay(names.SHARD, self._exchange), self._door.exchange)
        self._shard = _make_shard(settings, store, nodes)
        self._node = ShardNode(self._shard, boot_id())
        self._starts_alone = not settings.regions
        servers = make_servers(settings, _make_backend(settings, self._shard, store))
        self._servers = [server for server, _ in servers]
        agents = settings.agents_address
        if agents is not None:
            await self._door.look()
        await self._shard.begin()
        await self._listen(Path(socket))
        if agents is not None:
            await self._door.open(agents, server_tls(settings.tls_cert, settings.tls_key))
            self._looking = self._loop.create_task(self._door.keep_looking())
        spare_the_collector()
        give_memory_back()
        self._serving = [
            self._loop.create_task(server.serve([listen(address)])) for server, address in servers
        ]
        self._watching = self._loop.create_task(self._die_of_faults())
        log.info("shard epoch %d serves %s:%d", self._shard.epoch, settings.host, settings.port)

    async def deliver(self, sender: str, batch: bytes) -> None:
        """Take a batch from a node on another machine."""
        self._node.receive(NodeAddress.read(sender), batch)

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def heartbeat(self, sender: str, beat: bytes) -> bytes:
        """Take a node's heartbeat; the group's own thread hands it to the shard's loop."""
        answer = asyncio.run_coroutine_threadsafe(self._heartbeat(NodeAddress.read(sender), beat), self._loop)
        return await asyncio.wrap_future(answer)

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def ready(self) -> tuple[bool, int]:
        """Say whether work can be taken and done, and which life of the shard says so: its epoch. Where all
        regions are agents' it is enough that they can join.
        """
        ready = self._shard.accepting if self._starts_alone else self._shard.ready
        return ready, self._shard.epoch

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def placed(self, found: dict[str, Any]) -> None:
        """Take note of where nodes run, or why they do not: placements by the nodes' addresses."""
        placements = msgspec.convert(found, dict[str, Placement])
        self._loop.call_soon_threadsafe(self._placed, placements)

    def _placed(self, placements: dict[str, Placement]) -> None:
        for address, placement in placements.items():
            self._shard.peers.placed(NodeAddress.read(address), placement)

    async def drain(self, timeout_s: float) -> None:
        """Refuse submissions, wait for what is under way, and close."""
        await self._shard.drain(timeout_s)
        for server in self._servers:
            server.should_exit = True
        await asyncio.wait(self._serving, timeout=1.0)
        self._watching.cancel()
        await self._shard.close()
        self._exchange.close()
        self._door.exchange.close()

    async def _listen(self, path: Path) -> None:
        try:
            await self._exchange.listen(path)
        except OSError as error:
            log.warning("no socket at %s (%s): everything goes over Ray", path, error)

    async def _heartbeat(self, sender: NodeAddress, beat: bytes) -> bytes:
        return self._node.heartbeat(sender, beat)

    async def _die_of_faults(self) -> None:
        try:
            await self._shard.failed()
        except Exception:
            log.exception("the shard can't go on; its truth is on disk, a new one takes over")
            os._exit(ExitCode.FAULT)


def _retention(settings: Settings) -> Retention:
    return Retention(
        payload_ms=int(settings.keep_days * DAY_MS), summary_ms=int(settings.history_days * DAY_MS)
    )


def _make_shard(settings: Settings, store: Store, transport: NodeTransport) -> Shard:
    regions = tuple(RegionName(name) for name in settings.regions)
    return Shard(
        store=store,
        links=MailboxLinks(transport),
        clock=SystemClock(),
        random=random.Random(),  # noqa: S311  # ids and jitter, not secrets
        options=ShardOptions(
            regions=regions,
            pace=Pace(settings.default_rps, settings.default_max_concurrent),
            delivery=_delivery_options(settings),
            strict_down_s=settings.strict_down_s,
            known=load_known_domains(settings.domains_file),
        ),
    )


def _delivery_options(settings: Settings) -> DeliveryOptions:
    schedule = Schedule(offsets_s=settings.webhook_offsets_s, jitter=settings.webhook_jitter)
    return DeliveryOptions(
        schedule=schedule,
        max_concurrent=settings.webhook_max_concurrent,
        redelivery_rps=settings.redelivery_rps,
    )


def _make_backend(settings: Settings, shard: Shard, store: Store) -> Backend:
    bounds, clock = settings.bounds, SystemClock()
    gateway = Gateway(
        LocalShard(shard),
        store,
        clock,
        guard=ResolvingGuard(settings.allow_private_targets, settings.allow_targets, clock),
        random=random.Random(),  # noqa: S311  # ids, not secrets
        bounds=bounds,
        regions=shard.peers.names,
        many_jobs_rps=settings.many_jobs_rps,
        commit_sizes=store.commit_sizes,
    )
    return Backend(
        gateway=gateway,
        keys=ApiKeyAuthenticator(gateway.customers, clock),
        bounds=bounds,
        results=SharedResults(gateway.jobs),
    )


def options_for_nodes(settings: Settings, socket: str) -> dict[str, Any]:
    """Write down what regions' nodes need of the settings. They may be on other machines: no path of this
    one's is in it. ``socket`` is where in the temporary directory of its machine the shard listens.
    """
    return {
        "allow_private_targets": settings.allow_private_targets,
        "allow_targets": settings.allow_targets,
        "max_response_bytes": settings.max_response_bytes,
        "webhook_places": settings.webhook_max_concurrent,
        "shards": {names.SHARD: socket},
    }
