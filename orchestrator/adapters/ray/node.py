"""What a shard's actor hosts, the gateway in front of it too: one process, one event loop."""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.adapters.agents.door import make_door
from orchestrator.adapters.agents.nodes import NodesAndAgents
from orchestrator.adapters.http.listening import listen
from orchestrator.adapters.http.serving import make_servers
from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.ray.assembly import make_backend, make_shard
from orchestrator.adapters.ray.node_door import make_node_door
from orchestrator.adapters.ray.shard_actor import LOG_FILE
from orchestrator.adapters.ray.transport import NodesOverRay
from orchestrator.adapters.stores import open_store
from orchestrator.adapters.tracing import open_tracing
from orchestrator.core.regions.node import ShardNode
from orchestrator.domain.cluster.placement import Placement
from orchestrator.domain.ids import NodeAddress
from orchestrator.messages import names
from orchestrator.ports.lifecycle import AsyncLifecycle
from orchestrator.ports.transport import NodeTransport
from orchestrator.runtime.allocator import give_memory_back
from orchestrator.runtime.interpreter import tune_interpreter
from orchestrator.runtime.log_file import log_to
from orchestrator.runtime.loop_lag import watch_loop
from orchestrator.settings import Settings
from orchestrator.transport.local_link import LocalExchange
from regions.clock_offset import boot_id

SPANS_WITHIN_S = 2.0
"""For the last spans of a stop: a collector that is away holds it up no longer."""

log = logging.getLogger(__name__)


class ShardHost(AsyncLifecycle):
    """Store, shard and gateway of one life of the shard's actor: here they are put together. A start reads
    what is on disk, and opens all doors.

    Args:
        settings: Those of the service.
        socket: Where this machine's regions find it.
        expected: The nodes that there are to be, where they are not called as those of ``messages.names``.
        on_fault: Is told what this life dies of.
    """

    def __init__(
        self,
        settings: Settings,
        socket: Path,
        expected: tuple[NodeAddress, ...] = (),
        on_fault: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._on_fault = on_fault
        log_to(settings.data_dir / LOG_FILE)
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        store = open_store(settings.data_dir, settings.retention)
        self._socket = socket
        self._exchange = LocalExchange(socket, lambda name: self._node.taker(NodeAddress.read(name)))
        nodes: NodeTransport = NodesOverRay(names.SHARD, self._exchange)
        self._node_door = make_node_door(settings.nodes_port, lambda: self._node, nodes.carrier)
        if self._node_door is not None:
            nodes = self._node_door.exchange
        self._door = make_door(settings, store.customers, lambda: self._node)
        if self._door is not None:
            nodes = NodesAndAgents(nodes, self._door.exchange)
        self._tracing = open_tracing(settings.tracing)
        self._shard = make_shard(settings, store, nodes, self._tracing, expected)
        self._node = ShardNode(self._shard, boot_id())
        servers = make_servers(settings, make_backend(settings, self._shard, store))
        self._servers = [server for server, _ in servers]
        self._addresses = [address for _, address in servers]
        self._serving: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []

    async def _start(self) -> None:
        if self._door is not None:
            await self._door.look()
        await self._shard.start()
        await self._listen()
        if self._door is not None:
            await self._door.start()
        tune_interpreter()
        give_memory_back()
        self._serving = [
            self._loop.create_task(server.serve([listen(address)]))
            for server, address in zip(self._servers, self._addresses, strict=True)
        ]
        self._watching = [
            self._loop.create_task(self._die_of_faults()),
            self._loop.create_task(watch_loop(self._shard.counters.loop_lag.observe)),
        ]
        log.info("shard epoch %d serves %s:%d", self._shard.epoch, self._settings.host, self._settings.port)

    def receive(self, sender: str, batch: bytes) -> None:
        """Take a batch from a node on another machine."""
        self._node.receive(NodeAddress.read(sender), batch)

    async def heartbeat(self, sender: str, beat: bytes) -> bytes:
        """Take a node's heartbeat. May be called on another thread's loop."""
        answer = asyncio.run_coroutine_threadsafe(self._heartbeat(NodeAddress.read(sender), beat), self._loop)
        return await asyncio.wrap_future(answer)

    async def invite(self, sender: str) -> bytes | None:
        """Tell a node of another machine where it connects; None where nobody listens. May be called on
        another thread's loop.
        """
        answer = asyncio.run_coroutine_threadsafe(self._invite(NodeAddress.read(sender)), self._loop)
        return await asyncio.wrap_future(answer)

    def ready(self) -> tuple[bool, int]:
        """Say whether work can be taken and done, and the epoch. Where all regions are agents' it is enough
        that they can join.
        """
        ready = self._shard.ready if self._settings.regions else self._shard.accepting
        return ready, self._shard.epoch

    def placed(self, found: dict[str, Any]) -> None:
        """Take note of placements by the nodes' addresses. May be called on another thread."""
        placements = msgspec.convert(found, dict[str, Placement])
        self._loop.call_soon_threadsafe(self._placed, placements)

    async def attend(self, found: dict[str, Any]) -> dict[str, tuple[bool, int]]:
        """Take note of placements, and say of each node whether it is up and how much it has under way. May
        be called on another thread's loop.
        """
        placements = msgspec.convert(found, dict[str, Placement])
        answer = asyncio.run_coroutine_threadsafe(self._attend(placements), self._loop)
        return await asyncio.wrap_future(answer)

    async def _attend(self, placements: dict[str, Placement]) -> dict[str, tuple[bool, int]]:
        self._placed(placements)
        nodes = {address: NodeAddress.read(address) for address in placements}
        peers = self._shard.peers
        return {address: (peers.node_is_up(node), self._shard.busy(node)) for address, node in nodes.items()}

    async def rest(self, timeout_s: float) -> None:
        """Start nothing more, and wait for what is under way; submissions are taken all the while."""
        if cut_off := await self._shard.rest(timeout_s):
            log.warning("%d attempts took longer than %g s: they begin again", cut_off, timeout_s)

    def _placed(self, placements: dict[str, Placement]) -> None:
        for address, placement in placements.items():
            self._shard.peers.placed(NodeAddress.read(address), placement)

    async def drain(self, timeout_s: float) -> None:
        """Refuse submissions, and wait for what is under way: a stop is due then."""
        await self._shard.drain(timeout_s)

    async def _stop(self) -> None:
        for server in self._servers:
            server.should_exit = True
        if self._serving:
            await asyncio.wait(self._serving, timeout=1.0)
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self._shard.stop()
        await self._exchange.stop()
        for door in (self._node_door, self._door):
            if door is not None:
                await door.stop()

    async def send_last_spans(self) -> None:
        """Send what is left to tell of jobs: it may take a moment, and needs nothing of what is closed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._tracing.close), SPANS_WITHIN_S)

    async def _listen(self) -> None:
        try:
            await self._exchange.start()
        except OSError as error:
            log.warning("no socket at %s (%s): everything goes over Ray", self._socket, error)
        try:
            if self._node_door is not None:
                await self._node_door.start()
        except OSError as error:
            log.warning("no port for nodes of other machines (%s): everything goes over Ray", error)

    async def _invite(self, sender: NodeAddress) -> bytes | None:
        return None if self._node_door is None else self._node_door.invite(sender)

    async def _heartbeat(self, sender: NodeAddress, beat: bytes) -> bytes:
        return self._node.heartbeat(sender, beat)

    async def _die_of_faults(self) -> None:
        try:
            await self._shard.failed()
        except Exception as error:
            log.exception("the shard can't go on; its truth is on disk, a new one takes over")
            self._on_fault(error)
            os._exit(ExitCode.FAULT)
