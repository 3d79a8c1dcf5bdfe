"""What an operator does to a region: take it out of service, and back."""

import asyncio
import logging
from collections.abc import Callable

from orchestrator.core.regions.peer import Peer
from orchestrator.core.regions.peers import PeerBook
from orchestrator.domain.access.audit import Act, act_of
from orchestrator.domain.access.roles import Caller
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import RegionName
from orchestrator.ports.clock import Clock
from orchestrator.ports.region_store import RegionStore
from orchestrator.runtime.log_format import about

log = logging.getLogger(__name__)


class Drains:
    """Does one act after the other. Each is on disk with its entry in the audit before it holds.

    ``on_up`` takes each node that takes work again.

    Every act may raise NotFound, for a region that is not known, and StoreFailure: then nothing has changed.
    """

    def __init__(
        self, store: RegionStore, clock: Clock, peers: PeerBook, on_up: Callable[[Peer], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._peers = peers
        self._on_up = on_up
        self._one_by_one = asyncio.Lock()

    async def begin(self) -> None:
        """Know what was said before this life of the shard."""
        for region, drain in (await self._store.drains()).items():
            self._peers.drain(region, drain)

    async def drain(self, caller: Caller, region: RegionName) -> None:
        """Place nothing new in a region until ``undrain``. What runs there ends; strict jobs wait."""
        drain = Drain(self._clock.unix_ms(), caller.key_id)
        await self._set(caller, region, self._peers.drains.get(region) or drain, Act.REGION_DRAINED)

    async def undrain(self, caller: Caller, region: RegionName) -> None:
        """Let a region take work again."""
        await self._set(caller, region, None, Act.REGION_UNDRAINED)

    async def _set(self, caller: Caller, region: RegionName, drain: Drain | None, act: Act) -> None:
        if region not in self._peers.names and region not in self._peers.drains:
            raise NotFound("there is no such region")
        entry = act_of(caller, act, region, self._clock.unix_ms())
        async with self._one_by_one:
            await self._store.save_drain(region, drain, entry)
            for node in self._peers.drain(region, drain):
                self._on_up(node)
        ids = about(customer=caller.customer, region=region, key=caller.key_id)
        log.info("%s: %s, by %s with the key %s", region, act, caller.customer, caller.key_id, extra=ids)
