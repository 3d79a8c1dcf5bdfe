"""One life of a shard as far as its lease goes: it takes the shard, and keeps it for as long as it can."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.domain.cluster.lease import BEAT_EVERY_S, Beat, HeldLease, WatchedBeat
from orchestrator.ports.clock import Clock
from orchestrator.ports.lease_store import LeaseStore
from orchestrator.ports.store import Fenced, StillBeating, StoreFailure


class Tenure:
    """Takes a shard that nobody has, and beats for it. Where one process locks the store there is nothing to
    watch, and nothing to beat for.

    Args:
        store: Has the shard's epoch and its beat.
        clock: Time.
        spawn: Runs work to its end; to be fenced ends the shard.
    """

    def __init__(
        self,
        store: LeaseStore,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._spawn = spawn
        self._lease = HeldLease(forever=store.held_by_lock)
        self._closed = False

    @property
    def left_s(self) -> float:
        """For how long the shard may still act; infinity where nobody else can have it."""
        return self._lease.left_s(self._clock.boot_s())

    async def begin(self) -> int:
        """Take the shard once it is nobody's, and give its epoch; blocks while another beats for it."""
        while True:
            seen = None if self._store.held_by_lock else await self._watch()
            sent_at = self._clock.boot_s()
            try:
                epoch = await self._store.begin_epoch(seen)
            except StillBeating:
                continue
            self._lease.renewed(sent_at)
            if not self._store.held_by_lock:
                self._beat_soon()
            return epoch

    async def _watch(self) -> Beat:
        """Wait until whoever has the shard has not beaten for so long that its lease is over."""
        watched = WatchedBeat()
        while True:
            sent_at = self._clock.boot_s()
            found = await self._store.last_beat()
            if not found.epoch or watched.look(found, sent_at, self._clock.boot_s()):
                return found
            await asyncio.sleep(BEAT_EVERY_S)

    def close(self) -> None:
        """Beat no more: whoever comes next waits until the lease is over."""
        self._closed = True

    def _beat_soon(self) -> None:
        self._clock.call_at(self._clock.now() + BEAT_EVERY_S, self._beat_now)

    def _beat_now(self) -> None:
        if not self._closed:
            self._spawn(self._beat())

    async def _beat(self) -> None:
        sent_at = self._clock.boot_s()
        try:
            await self._store.beat()
        except Fenced:
            raise
        except StoreFailure:
            # Nobody has taken the shard over: it rests when its lease is over, and goes on when this works.
            self._beat_soon()
            return
        self._lease.renewed(sent_at)
        self._beat_soon()
