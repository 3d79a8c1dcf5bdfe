"""Marks what may be sent once before it is sent, on the side of its target."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from orchestrator.core.regions.peer import Peer
from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import TargetDomain
from orchestrator.ports.store import JobStore
from orchestrator.ports.targets import SendAttempt

COUNTED_TIMES = 68
"""How often a request that waits for its mark counts at its node: a 68th of the credit is for these."""


class Marked(Protocol):
    """Goes on with an attempt, if it is marked."""

    def __call__(self, *, marked: bool) -> None:
        """A job that has ended gets no mark."""


class Marker:
    """Writes marks in the epoch of the shard that has the targets.

    Args:
        store: Keeps them.
        spawn: Runs work to its end; a mark that can't be written ends the shard.
    """

    def __init__(self, store: JobStore, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._store = store
        self._spawn = spawn
        self._epoch = 0

    def begin(self, epoch: int) -> None:
        """Begin a life of the shard."""
        self._epoch = epoch

    def before(self, order: SendAttempt, domain: TargetDomain, peer: Peer, over: Marked) -> None:
        """Call ``over`` once an attempt has its mark on disk, or is refused one. Until then the request
        takes room there, more than later: few are to wait here for a slow disk.
        """
        mark = Mark(
            job=order.job,
            attempt=order.attempt,
            step=order.step,
            region=peer.name,
            slot=slot_of(domain),
            epoch=self._epoch,
        )
        size = COUNTED_TIMES * order.request.size
        peer.take(size)
        self._spawn(self._write(mark, peer, size, over))

    async def _write(self, mark: Mark, peer: Peer, size: int, over: Marked) -> None:
        # Where the job has ended, its withdrawal lets go of the attempt.
        marked = await self._store.mark(mark)
        peer.give_back(size)
        over(marked=marked)
