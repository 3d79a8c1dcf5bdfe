"""Batches between processes of one machine, over a Unix socket.

A call of Ray's costs some 2 ms of CPU over all that take part, whatever it carries; here a batch costs a
twentieth of that. A frame is its length (4 bytes, big-endian, of what follows), its kind (1 byte), a number
(4 bytes) and a payload.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import assert_never, cast

from orchestrator.wire.mailbox import Carrier

CONNECT_EVERY_S = 0.5
_HEAD = struct.Struct("!IBI")
_AFTER_LENGTH = _HEAD.size - 4
_CREDENTIALS = struct.Struct("3i")
"""Of a peer, as Linux gives them: pid, uid, gid (unix(7), SO_PEERCRED)."""

log = logging.getLogger(__name__)


class FrameKind(IntEnum):
    """What a frame is."""

    HELLO = 0
    """The first one of who connects: its payload is the name."""
    BATCH = 1
    TAKEN = 2
    """The batch of this number was taken."""


class LocalLink(asyncio.Protocol):
    """One end of a connection. A batch counts as carried once the other end says that it was taken.

    Who runs as another user is hung up on before anything is read or written: it has come between.

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
        self._take = take
        self._named = named
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._under_way: dict[int, asyncio.Future[None]] = {}
        self._number = 0
        self._received = bytearray()

    async def carry(self, batch: bytes) -> None:
        """Carry one batch.

        Raises:
            ConnectionError: The connection broke; the batch may have been taken.

        """
        self._number = (self._number + 1) % 2**32
        taken = self._under_way[self._number] = asyncio.get_running_loop().create_future()
        self._send(FrameKind.BATCH, self._number, batch)
        await taken

    def greet(self, name: str) -> None:
        """Say who is at this end."""
        self._send(FrameKind.HELLO, 0, name.encode())

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        peer = peer_uid(transport.get_extra_info("socket").fileno())
        if peer == os.geteuid():
            self._transport = cast("asyncio.Transport", transport)
        else:
            log.warning("user %d is at the other end of the batch socket: hung up", peer)
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio hands it over
        """End (asyncio)."""
        self._transport = None
        for taken in self._under_way.values():
            if not taken.done():
                taken.set_exception(ConnectionResetError("the connection to the other process broke"))
        self._under_way.clear()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Take what came (asyncio)."""
        if self._transport is None:
            return
        received, at = self._received, 0
        received += data
        while len(received) - at >= _HEAD.size:
            length, kind, number = _HEAD.unpack_from(received, at)
            end = at + _HEAD.size - _AFTER_LENGTH + length
            if len(received) < end:
                break
            self._open(FrameKind(kind), number, bytes(received[at + _HEAD.size : end]))
            at = end
        del received[:at]

    def _open(self, kind: FrameKind, number: int, payload: bytes) -> None:
        match kind:
            case FrameKind.BATCH:
                if self._take is None:
                    raise ConnectionAbortedError("a batch of nobody's: a name comes first")
                self._take(payload)
                self._send(FrameKind.TAKEN, number)
            case FrameKind.TAKEN:
                taken = self._under_way.pop(number, None)
                if taken is not None and not taken.done():
                    taken.set_result(None)
            case FrameKind.HELLO:
                self._take = self._named(self, payload.decode())
            case _:
                assert_never(kind)

    def _send(self, kind: FrameKind, number: int, payload: bytes = b"") -> None:
        if self._transport is None:
            raise ConnectionResetError("the connection to the other process is closed")
        self._transport.write(_HEAD.pack(_AFTER_LENGTH + len(payload), kind, number) + payload)


def peer_uid(descriptor: int) -> int:
    """Say as which user the process at the other end of a Unix socket connected, or began to listen."""
    # The loop's own object for the socket may not do this: a second descriptor of it is asked.
    with socket.socket(fileno=os.dup(descriptor)) as same:
        found = same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(found)[1]
    return uid


class LocalExchange:
    """The listening end: takes batches from all who connect, and knows each by its name.

    ``taker`` makes what takes the batches of one of them; it raises ValueError where nobody has that name.
    """

    def __init__(self, taker: Callable[[str], Callable[[bytes], None]]) -> None:
        self._taker = taker
        self._open: set[LocalLink] = set()
        self._named: dict[str, LocalLink] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        """Listen at ``path``, for this user's processes only; what an earlier life left there is replaced.

        Raises:
            OSError: That can't be: the path is too long, say.
        """
        bound = _bind(path)
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, sock=bound)

    def carrier(self, name: str, far: Carrier) -> Carrier:
        """Make what carries batches to a peer: over its connection, or by ``far`` where it has none."""

        async def carry(batch: bytes) -> None:
            link = self._named.get(name)
            await (far(batch) if link is None else link.carry(batch))

        return carry

    def close(self) -> None:
        """Close every connection, and listen no more."""
        if self._server is not None:
            self._server.close()
        for link in self._open:
            link.close()

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

    def carrier(self, far: Carrier) -> Carrier:
        """Make what carries batches to the other end: over the connection, or by ``far`` without one."""

        async def carry(batch: bytes) -> None:
            link = self._link
            await (far(batch) if link is None else link.carry(batch))

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
