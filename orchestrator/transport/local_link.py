"""Batches between processes of one machine, over a Unix socket.

A call of Ray's costs some 2 ms of CPU over all that take part, whatever it carries; here a batch costs a
twentieth of that.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from orchestrator.ports.lifecycle import AsyncLifecycle
from orchestrator.ports.transport import Carrier
from orchestrator.transport.framed_link import FramedLink, FrameKind

CONNECT_EVERY_S = 0.5
FLUSHED_WITHIN_S = 1.0
"""At a stop: who reads nothing of what was written to it holds it up no longer."""
_CREDENTIALS = struct.Struct("3i")
"""Of a peer, as Linux gives them: pid, uid, gid (unix(7), SO_PEERCRED)."""

log = logging.getLogger(__name__)


class LocalLink(FramedLink):
    """One end of a connection. Who runs as another user is hung up on before anything is read or written: it
    has come between.

    Args:
        take: Takes a batch; None where that depends on who is at the other end.
        named: Is told how the other end calls itself, before any batch of it is taken, and gives what takes
            those.
        lost: Is told when the connection is over.
    """

    def __init__(
        self,
        take: Callable[[bytes], None] | None,
        *,
        named: Callable[["LocalLink", str], Callable[[bytes], None] | None] = lambda _link, _name: None,
        lost: Callable[["LocalLink"], None] = lambda _link: None,
    ) -> None:
        super().__init__()
        self._take = take
        self._named = named
        self._lost = lost

    def greet(self, name: str) -> None:
        """Say who is at this end."""
        self.send(FrameKind.HELLO, name.encode())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        peer = peer_uid(transport.get_extra_info("socket").fileno())
        if peer == os.geteuid():
            super().connection_made(transport)
        else:
            log.warning("user %d is at the other end of the batch socket: hung up", peer)
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio)."""
        super().connection_lost(exc)
        self._lost(self)

    def opened(self, kind: FrameKind, number: int, payload: bytes) -> None:
        """Take one frame."""
        if kind is FrameKind.BATCH:
            if self._take is None:
                raise ConnectionAbortedError("a batch of nobody's: a name comes first")
            self._take(payload)
            self.send(FrameKind.TAKEN, number=number)
        elif kind is FrameKind.TAKEN:
            self.answered(number, payload)
        elif kind is FrameKind.HELLO:
            self._take = self._named(self, payload.decode())
        else:
            msg = f"{kind.name} is nothing that is said on one machine"
            raise ConnectionAbortedError(msg)


def peer_uid(descriptor: int) -> int:
    """Say as which user the process at the other end of a Unix socket connected, or began to listen."""
    # The loop's own object for the socket may not do this: a second descriptor of it is asked.
    with socket.socket(fileno=os.dup(descriptor)) as same:
        found = same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(found)[1]
    return uid


class LocalExchange(AsyncLifecycle):
    """The listening end: takes batches from all who connect, and knows each by its name.

    Args:
        path: Where to listen, for this user's processes only; what an earlier life left there is replaced. A
            start raises OSError where that can't be: the path is too long, say.
        taker: Makes what takes the batches of one of them; it raises ValueError where nobody has that name.
    """

    def __init__(self, path: Path, taker: Callable[[str], Callable[[bytes], None]]) -> None:
        self._path = path
        self._taker = taker
        self._open: set[LocalLink] = set()
        self._named: dict[str, LocalLink] = {}
        self._server: asyncio.Server | None = None
        self._left = asyncio.Event()

    def carrier(self, name: str, far: Carrier) -> Carrier:
        """Make what carries batches to a peer: over its connection, or by ``far`` where it has none."""

        def carry(batch: bytes) -> Awaitable[object]:
            link = self._named.get(name)
            return far(batch) if link is None else link.carry(batch)

        return carry

    async def _start(self) -> None:
        bound = _bind(self._path)
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, sock=bound)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in self._open:
            link.close()
        try:
            await asyncio.wait_for(self._all_left(), FLUSHED_WITHIN_S)
        except TimeoutError:
            for link in self._open:
                link.abort()
            await self._all_left()

    async def _all_left(self) -> None:
        while self._open:
            self._left.clear()
            await self._left.wait()

    def _accept(self) -> LocalLink:
        link = LocalLink(None, named=self._name, lost=self._leave)
        self._open.add(link)
        return link

    def _name(self, link: LocalLink, name: str) -> Callable[[bytes], None]:
        take = self._taker(name)
        self._named[name] = link
        return take

    def _leave(self, link: LocalLink) -> None:
        self._open.discard(link)
        self._left.set()
        self._named = {name: other for name, other in self._named.items() if other is not link}


def _bind(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        # It does not listen yet: so far nobody can have connected.
        path.chmod(0o600)
    except OSError:
        bound.close()
        raise
    return bound


class LocalCaller:
    """The connecting end. Where nobody listens, another machine's shard say, it goes on trying.

    Args:
        path: Where the other end listens.
        name: What this end is called.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = str(path)
        self._name = name
        self._link: LocalLink | None = None
        self._lost = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the other end is on this machine, and there."""
        return self._link is not None

    def carrier(self, far: Carrier) -> Carrier:
        """Make what carries batches to the other end: over the connection, or by ``far`` without one."""

        def carry(batch: bytes) -> Awaitable[object]:
            link = self._link
            return far(batch) if link is None else link.carry(batch)

        return carry

    async def keep_connected(self, take: Callable[[bytes], None]) -> None:
        """Connect, and connect again whenever the connection is lost; never returns. ``take`` takes what
        comes: all of it is from who listens at the path.
        """
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                self._lost.clear()
                _, link = await loop.create_unix_connection(
                    lambda: LocalLink(take, lost=self._forget), self._path
                )
                link.greet(self._name)
                self._link = link
                await self._lost.wait()
            await asyncio.sleep(CONNECT_EVERY_S)

    def _forget(self, _link: LocalLink) -> None:
        self._link = None
        self._lost.set()
