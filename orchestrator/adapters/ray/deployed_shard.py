"""The Ray actor of a shard that was deployed: it waits until no other life of the shard has the data
directory.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray

from orchestrator.adapters.process.exit_codes import ExitCode
from orchestrator.adapters.ray.shard_actor import LOG_FILE, Door
from orchestrator.domain.cluster.deployment import PartState
from orchestrator.domain.ids import NodeAddress
from orchestrator.messages import names
from orchestrator.runtime import log_file
from orchestrator.settings import Settings

LAST_WORDS_S = 0.5
"""What a shard that rests has left to do: answers on their way, and rows."""

log = logging.getLogger(__name__)


class DeployedShardActor(Door):
    """A life of the shard. Two may be there at once: the one that serves, and its successor, which has
    imported and checked everything by then. Whoever has the lock of the data directory serves, so that no
    word is needed to begin, and a life that Ray starts again finds its way by itself.

    Args:
        carried: The settings.
        socket: Where in the temporary directory it listens for nodes of its machine.
        expected: The nodes that there are to be.
        wanted: Which build this machine should have.
    """

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, carried: dict[str, str], socket: str, expected: list[str], wanted: str
    ) -> None:
        from regions.ray_host import check_build, where_here  # noqa: PLC0415  # a second and 50 MB of imports

        check_build({"build": wanted})
        from orchestrator.adapters.ray.life import ShardLife  # noqa: PLC0415  # the same
        from orchestrator.adapters.ray.node import ShardHost  # noqa: PLC0415  # the same

        settings, near = Settings.carried(carried), Path(socket)
        log_file.let_inherit(settings.data_dir / LOG_FILE, settings.log_format)
        nodes = tuple(map(NodeAddress.read, expected))
        self._where = where_here()
        # Ray's type hints do not know this one.
        context: Any = ray.get_runtime_context()
        again: bool = context.was_current_actor_reconstructed
        self._life = ShardLife(settings, near.parent.name, again=again)
        self._make_host: Callable[[Path], ShardHost] = partial(
            ShardHost, settings, expected=nodes, on_fault=self._life.fail
        )
        self._socket = near.name
        self._made: ShardHost | None = None
        """What is stopped at the end: it is there before it serves."""
        self._begun = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            run_dir = await self._life.begin()
            self._made = self._make_host(run_dir / self._socket)
            await self._made.start()
            self._host = self._made
        except Exception as error:
            log.exception("the shard could not begin; Ray starts it again")
            self._life.fail(error)
            os._exit(ExitCode.FAULT)
        await self._life.prove()

    async def where(self) -> dict[str, str]:
        """Say on which machine this is, and of which version."""
        return self._where

    @ray.method(concurrency_group=names.CONTROL_GROUP)
    async def attend(self, found: dict[str, Any]) -> tuple[str, str, dict[str, tuple[bool, int]]]:
        """Take note of placements; say how far this life is (a ``PartState``), why it does not serve, and of
        each node whether it is up and how much it has under way.
        """
        if self._host is None:
            return self._life.state, self._life.reason, {}
        return PartState.SERVES, "", await self._host.attend(found)

    async def hand_over(self, timeout_s: float) -> None:
        """Let what is under way end, at most so long, taking submissions all the while; then make room for
        the next life, and end.
        """
        self._begun.cancel()
        await asyncio.gather(self._begun, return_exceptions=True)
        if self._host is not None:
            await self._host.rest(timeout_s)
            await self._host.drain(LAST_WORDS_S)
        if self._made is not None:
            await self._made.stop()
        # The next life begins meanwhile.
        self._life.end()
        if self._made is not None:
            await self._made.send_last_spans()
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]  # Ray's own
