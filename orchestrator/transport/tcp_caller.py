"""The connecting end between machines: keeps a connection to a gateway."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, NoReturn

from orchestrator.messages.hello import Hello, Refusal, RefusedError, Welcome, read, written
from orchestrator.transport.framed_link import FrameKind
from orchestrator.transport.gateway import Gateway
from orchestrator.transport.tcp_link import TcpLink, TcpWay

CONNECT_WITHIN_S = 3.0
PAUSE_FIRST_S = 0.1
PAUSE_MOST_S = 1.0
PAUSE_REFUSED_S = 15.0
"""After a refusal that another try does not change."""

log = logging.getLogger(__name__)


class TcpCaller:
    """Connects, and connects again whenever the connection is lost.

    Args:
        gateway: Whom to.
        hello: What to say first.
        way: Is given the connection while there is one.
        welcomed: Is told each time that the gateway lets this end in.
        refused: Is told when it does not.
    """

    def __init__(
        self,
        gateway: Gateway,
        hello: Hello,
        way: TcpWay,
        *,
        take: Callable[[bytes], None] | None = None,
        welcomed: Callable[[Welcome], None] = lambda _welcome: None,
        refused: Callable[[Refusal], None] = lambda _refusal: None,
    ) -> None:
        self._gateway = gateway
        self._hello = hello
        self._over = way
        self._take = take
        self._welcomed = welcomed
        self._refused = refused
        self._lost = asyncio.Event()
        self._said: asyncio.Future[None] | None = None
        self._link: TcpLink | None = None
        self._trouble = ""

    async def keep_connected(self) -> NoReturn:
        """Do so for ever."""
        pause = PAUSE_FIRST_S
        while True:
            try:
                link = await self.connect()
                self._trouble, pause = "", PAUSE_FIRST_S
                await self.until_lost(link)
                self._tell_once("the connection is lost")
            except RefusedError as error:
                self._tell_once(str(error))
                self._refused(error.refusal)
                pause = PAUSE_REFUSED_S if error.refusal.final else pause
            except (OSError, TimeoutError, ValueError) as error:
                self._tell_once(str(error) or "no answer")
            # Jitter: agents that lost one gateway together do not come back together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            pause = min(2 * pause, max(PAUSE_MOST_S, pause))

    def abort(self) -> None:
        """Give up the connection that there is: nothing seems to come through it any more."""
        if self._link is not None:
            self._link.abort()

    async def until_lost(self, link: TcpLink) -> None:
        """Return when a connection is over; the way is not told of it any more then."""
        try:
            await self._lost.wait()
        finally:
            self._over.drop(link)

    async def connect(self) -> TcpLink:
        """Connect once, and give the way that connection.

        Raises:
            RefusedError: The gateway does not want this end.
            OSError: It can't be reached, or is not who it has to be (ssl.SSLError).
            TimeoutError: It says nothing.
            ValueError: What it says can't be read.

        """
        self._lost.clear()
        self._said = asyncio.get_running_loop().create_future()
        gateway = self._gateway
        within: dict[str, Any] = {} if gateway.tls is None else {"ssl": gateway.tls}
        async with asyncio.timeout(CONNECT_WITHIN_S):
            _, link = await asyncio.get_running_loop().create_connection(
                self._make_link, gateway.host, gateway.port, **within
            )
            try:
                link.send(FrameKind.HELLO, written(self._hello))
                await self._said
            except BaseException:
                link.abort()
                raise
        self._over.add(link)
        log.info("%s: connected for %s", gateway, self._hello.purpose)
        return link

    def _make_link(self) -> TcpLink:
        return TcpLink(self._hear, self._lose)

    def _hear(self, link: TcpLink, kind: FrameKind, payload: bytes) -> None:
        said = self._said
        if kind is FrameKind.REFUSED and self._link is link:
            self._tell_once(read(payload, Refusal).reason)
            link.abort()
        elif said is None or said.done():
            msg = f"{kind.name} is not what comes now"
            raise ConnectionAbortedError(msg)
        elif kind is FrameKind.WELCOME:
            self._welcome(link, read(payload, Welcome))
            said.set_result(None)
        else:
            said.set_exception(RefusedError(read(payload, Refusal)))

    def _welcome(self, link: TcpLink, welcome: Welcome) -> None:
        """Be ready at once: what follows may be in the same piece of the stream."""
        self._link = link
        link.begin(self._hello.purpose, version=welcome.version, take=self._take)
        self._welcomed(welcome)

    def _lose(self, link: TcpLink) -> None:
        self._lost.set()
        if self._link is link:
            self._link = None
        if self._said is not None and not self._said.done():
            self._said.set_exception(ConnectionResetError("the gateway hung up"))

    def _tell_once(self, trouble: str) -> None:
        """Log what is wrong, when that changes: not at each try."""
        if trouble != self._trouble:
            log.warning("%s: %s", self._gateway, trouble)
            self._trouble = trouble
