"""Marks what may be sent once before it is sent, on the side of its target."""

from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.domain.cluster.slots import slot_of
from orchestrator.domain.execution.marks import Mark
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.ports.store import JobStore
from orchestrator.ports.targets import SendAttempt


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

    def before(
        self,
        order: SendAttempt,
        domain: TargetDomain,
        region: RegionName,
        send: Callable[[SendAttempt], None],
    ) -> None:
        """Call ``send`` once the mark of its attempt is on disk."""
        mark = Mark(
            job=order.job,
            attempt=order.attempt,
            step=order.step,
            region=region,
            slot=slot_of(domain),
            epoch=self._epoch,
        )
        self._spawn(self._write(mark, order, send))

    async def _write(self, mark: Mark, order: SendAttempt, send: Callable[[SendAttempt], None]) -> None:
        # Where the job has ended, its withdrawal lets go of the attempt.
        if await self._store.mark(mark):
            send(order)
