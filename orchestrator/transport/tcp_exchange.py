"""The listening end between machines: lets in whom it is told to, and knows each by that."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from msgspec import Struct

from orchestrator.domain.ids import NodeAddress, ShardName
from orchestrator.messages.hello import (
    Hello,
    Purpose,
    Refusal,
    RefusedError,
    Welcome,
    common_version,
    read,
    written,
)
from orchestrator.ports.lifecycle import AsyncLifecycle, Stage
from orchestrator.ports.transport import Carrier
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.tcp_link import TcpLink, TcpWay, no_other_way
from orchestrator.transport.tls_handshake import Handshake
from orchestrator.transport.visits import Tell, Visit, tell_all

HELLO_WITHIN_S = 10.0
"""From the first byte of a connection, its TLS included, until who it is is known."""
TLS_WITHIN_S = 5.0
STRANGERS_MOST = 200
"""Connections at once of those who have not said yet who they are."""

log = logging.getLogger(__name__)


class Admission(Struct, frozen=True, kw_only=True):
    """Who has come, by which key, for which shard, and what takes its batches and heartbeats."""

    address: NodeAddress
    key_id: str
    shard: ShardName
    take: Callable[[bytes], None]
    answer: Callable[[bytes], bytes]


Admit = Callable[[Hello], Awaitable[Admission]]
"""Says who somebody is; raises RefusedError where nobody of ours."""


class _Known(Struct, frozen=True):
    link: TcpLink
    key_id: str
    software: str


class Here(Struct, frozen=True):
    """A node that is connected: from which IP address, in which version, and by which key."""

    node: NodeAddress
    ip: str
    software: str
    key_id: str


class _Arrival(asyncio.Protocol):
    """A connection that has just been made."""

    def __init__(self, accept: Callable[[asyncio.Transport], None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accept(cast("asyncio.Transport", transport))


class TcpExchange(AsyncLifecycle):
    """Takes batches and heartbeats from all who are let in.

    Args:
        at: Where to listen. A start raises OSError where that can't be: the port is another's, say.
        admit: Who that is.
        software: This end's version, for people.
        tell: Is told what became of each who connected.
        otherwise: Makes what carries batches to a node while that has no connection.
    """

    def __init__(
        self,
        at: Gateway,
        admit: Admit,
        software: str = "unknown",
        tell: Tell = tell_all,
        otherwise: Callable[[NodeAddress], Carrier] = lambda _: no_other_way,
    ) -> None:
        self._at = at
        self._otherwise = otherwise
        self._admit = admit
        self._tell = tell
        self._software = software
        self._ways: dict[NodeAddress, TcpWay] = {}
        self._known: dict[tuple[NodeAddress, Purpose, int], _Known] = {}
        self._strangers: dict[TcpLink, asyncio.TimerHandle] = {}
        self._handshakes: dict[TcpLink, Handshake] = {}
        self._securing: set[asyncio.Task[None]] = set()
        self._judging: dict[TcpLink, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self.port = at.port
        """Where it listens, once it is up: the system's choice where that was to choose."""

    def carrier(self, to: NodeAddress) -> TcpWay:
        """Make what carries batches to a node; it need not be there yet."""
        if (way := self._ways.get(to)) is None:
            way = self._ways[to] = TcpWay(self._otherwise(to))
        return way

    def keep(self, wanted: Callable[[NodeAddress], bool]) -> None:
        """Forget the ways to nodes that are not here, and that nobody wants to hear of any more."""
        self._ways = {node: way for node, way in self._ways.items() if len(way) or wanted(node)}

    def here(self) -> list[Here]:
        """List the nodes whose batches have a connection."""
        return [
            Here(address, known.link.ip, known.software, known.key_id)
            for (address, purpose, _), known in self._known.items()
            if purpose is Purpose.BATCHES
        ]

    def hang_up(self, on: Callable[[NodeAddress, str], bool], reason: str) -> None:
        """End the connections of some nodes, by address and key id; each hears why."""
        for (address, _, _), known in list(self._known.items()):
            if on(address, known.key_id):
                log.warning("%s is hung up on: %s", address, reason)
                _refuse(known.link, Refusal(reason))

    async def _start(self) -> None:
        loop, at = asyncio.get_running_loop(), self._at
        self._server = await loop.create_server(lambda: _Arrival(self._accept), at.host, at.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in [*self._strangers, *(known.link for known in self._known.values())]:
            self._end(link)
        judging = [*self._judging.values()]
        for task in judging:
            task.cancel()
        await asyncio.gather(*judging, *self._securing, return_exceptions=True)

    def _accept(self, plain: asyncio.Transport) -> None:
        if self.stage in (Stage.STOPPING, Stage.STOPPED):
            plain.abort()
            return
        link = TcpLink(self._greeted, self._lost, lambda line: self._tell(Visit.HUNG_UP_ON, line))
        try:
            self._begin(link, plain)
        except OSError as error:
            log.warning("a connection can't be taken: %s", error)
            plain.abort()
            return
        if len(self._strangers) >= STRANGERS_MOST:
            # The oldest of them has had the longest time to say who it is.
            self._expire(next(iter(self._strangers)))
        loop = asyncio.get_running_loop()
        self._strangers[link] = loop.call_later(HELLO_WITHIN_S, self._expire, link)

    def _begin(self, link: TcpLink, plain: asyncio.Transport) -> None:
        if self._at.tls is None:
            plain.set_protocol(link)
            link.connection_made(plain)
            return
        handshake = self._handshakes[link] = Handshake(plain, self._at.tls, lambda: link)
        securing = asyncio.create_task(self._secure(link, handshake))
        self._securing.add(securing)
        securing.add_done_callback(self._securing.discard)

    async def _secure(self, link: TcpLink, handshake: Handshake) -> None:
        secured = await handshake.run(TLS_WITHIN_S)
        del self._handshakes[link]
        if not secured and link in self._strangers:
            self._expire(link)

    def _expire(self, link: TcpLink) -> None:
        self._strangers.pop(link).cancel()
        self._tell(Visit.SILENT, f"{link.peer} never said who it is")
        self._end(link)

    def _end(self, link: TcpLink) -> None:
        if (handshake := self._handshakes.get(link)) is not None:
            handshake.end()
        link.abort()

    def _greeted(self, link: TcpLink, kind: FrameKind, payload: bytes) -> None:
        if kind is not FrameKind.HELLO or link not in self._strangers or link in self._judging:
            msg = f"{kind.name} is not what comes now"
            raise ConnectionAbortedError(msg)
        hello = read(payload, Hello)
        self._judging[link] = asyncio.create_task(self._judge(link, hello))

    async def _judge(self, link: TcpLink, hello: Hello) -> None:
        try:
            version = common_version(hello.versions)
            admission = await self._admit(hello)
        except RefusedError as error:
            self._tell(Visit.REFUSED, f"{link.peer} as {hello.region}/{hello.node}: refused: {error}")
            _refuse(link, error.refusal)
        except Exception as error:  # noqa: BLE001  # whatever it was, this one can't come in now
            self._tell(Visit.UNDECIDED, f"nobody can say who {link.peer} is: {error!r}")
            _refuse(link, Refusal("the gateway can't look the token up just now", final=False))
        else:
            if link in self._strangers:
                self._let_in(link, hello, admission, version)
        finally:
            self._judging.pop(link, None)

    def _let_in(self, link: TcpLink, hello: Hello, admission: Admission, version: int) -> None:
        self._strangers.pop(link).cancel()
        place = (admission.address, hello.purpose, hello.way)
        if (before := self._known.pop(place, None)) is not None:
            # It lost that one, or another bears its name: two of one name take turns until an operator looks.
            self._way_of(place).drop(before.link)
            before.link.abort()
        self._known[place] = _Known(link, admission.key_id, hello.software)
        link.begin(hello.purpose, version=version, take=admission.take, answer=admission.answer)
        link.send(
            FrameKind.WELCOME,
            written(Welcome(version=version, shard=admission.shard, software=self._software)),
        )
        if hello.purpose is Purpose.BATCHES:
            here = f"{admission.address} is here ({link.peer}, version {hello.software})"
            self._tell(Visit.LET_IN, here)
            self._way_of(place).add(link)

    def _way_of(self, place: tuple[NodeAddress, Purpose, int]) -> TcpWay:
        return self.carrier(place[0])

    def _lost(self, link: TcpLink) -> None:
        if (timer := self._strangers.pop(link, None)) is not None:
            timer.cancel()
        for place, known in list(self._known.items()):
            if known.link is link:
                del self._known[place]
                self._way_of(place).drop(link)


def _refuse(link: TcpLink, refusal: Refusal) -> None:
    try:
        link.send(FrameKind.REFUSED, written(refusal))
    except ConnectionError:
        return
    link.close()
