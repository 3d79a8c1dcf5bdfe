"""The way between shards of one process, which may lose, repeat, delay and reorder what it carries."""

import asyncio
from collections.abc import Callable
from random import Random

from orchestrator.core.shards.neighbours import Neighbours
from orchestrator.domain.ids import ShardName
from orchestrator.ports.transport import Carrier
from tests.support.virtual_loop import VirtualLoop


class Way:
    """Carries calls between shards in virtual time.

    Args:
        loop: Time.
        random: Draws what goes wrong; None where nothing does.
    """

    def __init__(self, loop: VirtualLoop, random: Random | None = None) -> None:
        self._loop = loop
        self._random = random
        self._ends: dict[ShardName, Neighbours] = {}
        self.cut: set[tuple[ShardName, ShardName]] = set()
        """From whom to whom nothing is carried."""

    def attach(self, name: ShardName, end: Neighbours) -> None:
        """Let a shard, or another life of it, be reached."""
        self._ends[name] = end

    def of(self, name: ShardName) -> "OneEnd":
        """Make the way out of one shard."""
        return OneEnd(self, name)

    async def call(self, sender: ShardName, to: ShardName, serve: Callable[[Neighbours], bytes]) -> bytes:
        """Bring a call and give its answer.

        Raises:
            ConnectionError: It failed, or may have.

        """
        await asyncio.sleep(0.001 if self._random is None else self._random.uniform(0.001, 0.2))
        if (sender, to) in self.cut or self._strikes(0.2):
            raise ConnectionError("it did not arrive")
        if self._strikes(0.3):
            self._loop.call_later(0.3, lambda: serve(self._ends[to]))
        answer = serve(self._ends[to])
        if (to, sender) in self.cut or self._strikes(0.2):
            raise ConnectionError("it arrived, and nobody was told so")
        return answer

    def _strikes(self, share: float) -> bool:
        return self._random is not None and self._random.random() < share


class OneEnd:
    """A ``ShardTransport``."""

    def __init__(self, way: Way, name: ShardName) -> None:
        self._way = way
        self._name = name

    def carrier(self, to: ShardName) -> Carrier:
        """Make what carries batches to another shard."""

        async def carry(batch: bytes) -> None:
            def serve(end: Neighbours) -> bytes:
                end.receive(self._name, batch)
                return b""

            await self._way.call(self._name, to, serve)

        return carry

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:
        """Bring a heartbeat."""
        return await self._way.call(self._name, shard, lambda end: end.beat(self._name, beat))
