"""A region's way to a shard on another machine: through one gateway, or several at once."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from orchestrator.domain.ids import ShardName
from orchestrator.messages.hello import Hello, Purpose, Refusal, Welcome
from orchestrator.ports.lifecycle import AsyncLifecycle
from orchestrator.ports.transport import Carrier
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.tcp_caller import TcpCaller
from orchestrator.transport.tcp_link import TcpLink, TcpWay

SILENT_BEATS_MOST = 3
"""So many in a row that nobody answers: the connections of that gateway are given up for new ones."""

log = logging.getLogger(__name__)


class _Pair:
    """Both connections to one gateway. Heartbeats have theirs in the loop of the heart."""

    def __init__(self, batches: TcpCaller, beats: TcpCaller, beats_over: TcpWay) -> None:
        self.batches = batches
        self.beats = beats
        self.beats_over = beats_over
        self.unanswered = 0
        self._loop = asyncio.get_running_loop()

    async def ask(self, beat: bytes) -> bytes:
        """Bring a heartbeat, and give its reply.

        Raises:
            ConnectionError: The connection broke.

        """
        link = await self.beats_over.connected()
        if self.unanswered >= SILENT_BEATS_MOST:
            self._give_up(link)
            raise ConnectionResetError("the gateway is silent")
        self.unanswered += 1
        reply = await link.ask(FrameKind.BEAT, beat)
        self.unanswered = 0
        return reply

    def _give_up(self, link: TcpLink) -> None:
        # A path that was cut leaves connections of which neither end hears for minutes that they are over.
        self.unanswered = 0
        log.warning("%s is silent: its connections are given up", link.peer)
        link.abort()
        self._loop.call_soon_threadsafe(self.batches.abort)


class ShardsOverTcp(AsyncLifecycle):
    """Dials out to gateways, and stays connected from its start to its stop. It is up once it dials: a
    gateway may come later. The connections of heartbeats are in the heart's loop, and end with that.

    Args:
        gateways: Whom to.
        hello: What to say first, but for what a connection is for, and which way it is.
        welcomed: Is told, in the loop of the node, each time that a gateway lets it in.
        refused: Is told when one does not, and which.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        hello: Callable[[Purpose, int], Hello],
        *,
        take: Callable[[bytes], None],
        welcomed: Callable[[Welcome], None],
        refused: Callable[[int, Refusal], None],
    ) -> None:
        self._way = TcpWay()
        self._pairs: list[_Pair] = []
        for number, gateway in enumerate(gateways):
            batches = TcpCaller(
                gateway,
                hello(Purpose.BATCHES, number),
                self._way,
                take=take,
                welcomed=welcomed,
                refused=partial(refused, number),
            )
            over = TcpWay()
            self._pairs.append(_Pair(batches, TcpCaller(gateway, hello(Purpose.BEATS, number), over), over))
        self._dialling: list[asyncio.Task[None]] = []
        self._beating: list[asyncio.Task[None]] = []

    def carrier(self, to: ShardName) -> Carrier:  # noqa: ARG002  # all gateways are in front of one
        """Make what carries batches to the shard."""
        return self._way

    async def heartbeat(self, shard: ShardName, beat: bytes) -> bytes:  # noqa: ARG002  # the same
        """Bring a heartbeat through every gateway at once, and give the first reply.

        Raises:
            ConnectionError: No gateway answers.

        """
        if not self._beating:
            # Here, for this runs in the loop of the heart.
            self._beating = [asyncio.create_task(pair.beats.keep_connected()) for pair in self._pairs]
        asking = {asyncio.create_task(pair.ask(beat)) for pair in self._pairs}
        try:
            return await _first(asking)
        finally:
            for task in asking:
                task.cancel()

    async def _start(self) -> None:
        self._dialling = [asyncio.create_task(pair.batches.keep_connected()) for pair in self._pairs]

    async def _stop(self) -> None:
        for dialling in self._dialling:
            dialling.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        for pair in self._pairs:
            pair.batches.abort()


async def _first(asking: set[asyncio.Task[bytes]]) -> bytes:
    while asking:
        done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None:
                return task.result()
    raise ConnectionResetError("no gateway answers")
