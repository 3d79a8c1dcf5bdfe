"""A region without Ray: one process that dials out, and works for the shard behind its gateways."""

import asyncio
import logging
import signal
import ssl
import uuid
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from msgspec import Struct

from orchestrator.domain.exchange import RESPONSE_BYTES_MOST
from orchestrator.domain.ids import ShardName
from orchestrator.messages.hello import Hello, Purpose, Refusal, Welcome
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.lifecycle import AsyncLifecycle
from orchestrator.runtime.allocator import give_memory_back
from orchestrator.runtime.interpreter import tune_interpreter
from orchestrator.runtime.log_file import log_here
from orchestrator.runtime.open_files import raise_file_limit
from orchestrator.runtime.process_vitals import process_vitals
from orchestrator.runtime.version import VERSION
from orchestrator.transport.gateway import Gateway
from regions.clock_offset import boot_id
from regions.egress.answer_room import AnswerRoom
from regions.egress.client import AiohttpEgress
from regions.guard import AddressPolicy
from regions.heart import Heart, MakeHeart
from regions.node import RegionNode
from regions.session import NodeParts, ShardSession
from regions.tcp_transport import ShardsOverTcp

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
LAST_WORDS_S = 1.0
"""For what ended because of a stop to be told to the shard, so that it goes elsewhere at once."""

log = logging.getLogger(__name__)


class AgentOptions(Struct, frozen=True, kw_only=True):
    """What an operator of an agent may set. ``policy`` is this machine's own: no gateway changes it.
    ``only_named``: it takes only jobs that name its region, and stands in for no other.
    """

    region: str
    node: str
    token: str
    gateways: tuple[Gateway, ...]
    policy: AddressPolicy
    only_named: bool = False
    max_response_bytes: int = RESPONSE_BYTES_MOST
    webhook_places: int = 32


def read_gateway(url: str, ca: Path | None) -> Gateway:
    """Read where a gateway listens: ``https://host:port``, or ``http://`` on this machine.

    Raises:
        ValueError: It is no such address; the message says why.
        OSError: The file of authorities can't be read, or holds none.

    """
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if not host or not port or parts.scheme not in ("https", "http") or parts.path.strip("/"):
        msg = f"{url!r} is not https://HOST:PORT"
        raise ValueError(msg)
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return Gateway(host, port, context)
    if host not in LOOPBACK:
        msg = f"{url!r} would send the token and all requests in the open: only loopback goes without TLS"
        raise ValueError(msg)
    return Gateway(host, port, None)


class Agent(AsyncLifecycle):
    """The process's one node, and its connections: here they are put together. A start dials, and watches
    over the lease; a stop ends what is under way, and tells the shard so that it goes elsewhere at once.

    Args:
        options: What it is.
        make_heart: Makes what beats for its session with the shard.
    """

    def __init__(self, options: AgentOptions, make_heart: MakeHeart = Heart) -> None:
        self._options = options
        self._make_heart = make_heart
        self._beating = ExitStack()
        self._incarnation = uuid.uuid4().hex
        self._session: ShardSession | None = None
        self._refusals: dict[int, Refusal] = {}
        self.over: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        """Is done when there is nothing to wait for any more; says why, None after a stop."""
        self._transport = ShardsOverTcp(
            options.gateways, self._hello, take=self._take, welcomed=self._welcome, refused=self._refuse
        )
        room = AnswerRoom()
        self._egress = AiohttpEgress(options.policy, max_response_bytes=options.max_response_bytes, room=room)
        self._node = RegionNode(
            NodeParts(
                incarnation=self._incarnation,
                boot_id=boot_id(),
                clock=SystemClock(),
                transport=self._transport,
                targets=self._egress,
                receivers=self._egress,
                room=room,
                webhook_places=options.webhook_places,
                vitals=process_vitals,
            )
        )

    def be_over(self) -> None:
        """Have whoever waits for ``over`` stop this."""
        if not self.over.done():
            self.over.set_result(None)

    async def _start(self) -> None:
        await self._transport.start()
        self._node.start()

    async def _stop(self) -> None:
        if self._session is not None:
            await self._session.say_last_words(LAST_WORDS_S)
        await self._transport.stop()
        self._node.stop()
        # A heart may take a moment, in which this loop goes on.
        await asyncio.to_thread(self._beating.close)
        if self._session is not None:
            await self._session.close()
        await self._egress.close()

    def _hello(self, purpose: Purpose, way: int) -> Hello:
        options = self._options
        return Hello(
            purpose=purpose,
            token=options.token,
            region=options.region,
            node=options.node,
            incarnation=self._incarnation,
            way=way,
            software=VERSION,
            only_named=options.only_named,
        )

    def _take(self, batch: bytes) -> None:
        if self._session is not None:
            self._session.receive(batch)

    def _welcome(self, welcome: Welcome) -> None:
        self._refusals.clear()
        if self._session is None:
            self._session = self._node.join(ShardName(welcome.shard))
            heart = self._make_heart(self._session.beat_for_ever)
            heart.start()
            self._beating.callback(heart.stop)
            where = ", ".join(map(str, self._options.gateways))
            print(f"ezthrottle region {self._options.region} has joined {where}", flush=True)  # noqa: T201  # for people

    def _refuse(self, gateway: int, refusal: Refusal) -> None:
        self._refusals[gateway] = refusal
        final = [refusal for refusal in self._refusals.values() if refusal.final]
        if len(final) == len(self._options.gateways) and not self.over.done():
            self.over.set_result(refusal.reason)


def be_region(options: AgentOptions) -> str | None:
    """Be a region until a signal says stop (None then), or every gateway refuses for good (the reason)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(options))


async def _run(options: AgentOptions) -> str | None:
    log_here()
    raise_file_limit()
    agent = Agent(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.be_over)
    await agent.start()
    tune_interpreter()
    give_memory_back()
    reason = await agent.over
    await agent.stop()
    return reason
