"""Connections between machines: frames over TCP, within TLS, and the way to a far end over the latest."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from orchestrator.messages.codec import WIRE_VERSION, in_version
from orchestrator.messages.hello import HELLO_BYTES_MOST, Purpose
from orchestrator.ports.transport import Carrier
from orchestrator.transport.framed_link import FramedLink, FrameKind
from orchestrator.transport.mailbox import BATCH_BYTES, BATCHES_UNDER_WAY, StreamCarrier

BATCHES_MOST = 128
"""Under way on one connection: 8 MiB of fragments, which fills 60 ms at 1 Gbit/s."""
BATCH_FRAME_MOST = 2 * BATCH_BYTES
UNSENT_BYTES = 128 * 1024
"""Written and not on its way yet: what is urgent waits behind no more, and what TCP has under way."""
UNREAD_MOST = 32 * 1024 * 1024
"""Written to an end that does not read: then it is hung up on."""
GIVEN_UP_AFTER_MS = 10_000
"""What the other end has not acknowledged by then breaks the connection (tcp(7), TCP_USER_TIMEOUT)."""
TAKEN_AFTER_S = 0.001
"""What a batch begins goes first, a request or a commit: to encrypt the acknowledgement would hold it up."""
ASKED_AFTER_S = 5
"""Of silence the other end's kernel is asked whether it is there, each second until it is given up."""

log = logging.getLogger(__name__)


class TcpLink(FramedLink):
    """One end of a connection. What can't be read ends it, and not the process.

    Args:
        opened_by: Takes every frame but batches, heartbeats and what answers those.
        lost: Is told when the connection is over.
        complain: Is told why this end hangs up.
    """

    frame_most = HELLO_BYTES_MOST

    def __init__(
        self,
        opened_by: Callable[["TcpLink", FrameKind, bytes], None],
        lost: Callable[["TcpLink"], None],
        complain: Callable[[str], None] = log.warning,
    ) -> None:
        super().__init__()
        self._complain = complain
        self._opened_by = opened_by
        self._lost = lost
        self._take: Callable[[bytes], None] | None = None
        self._answer: Callable[[bytes], bytes] | None = None
        self.on_room: Callable[[], None] = lambda: None
        self.peer = "somebody whose TLS never came about"
        self.ip = ""
        self.version = WIRE_VERSION
        self.writable = True

    def begin(
        self,
        purpose: Purpose,
        *,
        version: int,
        take: Callable[[bytes], None] | None = None,
        answer: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Each end knows the other: take what comes from here on."""
        self.version = version
        self._take, self._answer = take, answer
        if purpose is Purpose.BATCHES:
            self.frame_most = BATCH_FRAME_MOST

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        super().connection_made(transport)
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=UNSENT_BYTES)
        ip, port, *_ = transport.get_extra_info("peername") or ("?", 0)
        self.ip, self.peer = ip, f"{ip}:{port}"
        _tune(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio)."""
        super().connection_lost(exc)
        self._lost(self)

    def pause_writing(self) -> None:
        """Enough is written (asyncio)."""
        self.writable = False

    def resume_writing(self) -> None:
        """It has left (asyncio)."""
        self.writable = True
        self.on_room()

    def data_received(self, data: bytes) -> None:
        """Take what came (asyncio)."""
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001  # whatever a stranger's bytes did, only its connection ends
            self.hang_up(f"{type(error).__name__}: {error}")

    def opened(self, kind: FrameKind, number: int, payload: bytes) -> None:
        """Take one frame."""
        if kind is FrameKind.BATCH and self._take is not None:
            self._take(payload)
            asyncio.get_running_loop().call_later(TAKEN_AFTER_S, self._say_taken, number)
        elif kind is FrameKind.BEAT and self._answer is not None:
            self.send(FrameKind.REPLY, self._answer(payload), number)
        elif kind in (FrameKind.TAKEN, FrameKind.REPLY):
            self.answered(number, payload)
        else:
            self._opened_by(self, kind, payload)

    def _say_taken(self, number: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self.send(FrameKind.TAKEN, number=number)

    def send(self, kind: FrameKind, payload: bytes = b"", number: int = 0) -> None:
        """Write a frame.

        Raises:
            ConnectionError: The connection is closed.

        """
        super().send(kind, payload, number)
        if self._transport is not None and self._transport.get_write_buffer_size() > UNREAD_MOST:
            self.hang_up("it reads nothing")

    def hang_up(self, reason: str) -> None:
        """End the connection at once, and say in the log why."""
        if self._transport is not None:
            self._complain(f"hung up on {self.peer}: {reason[:500]}")
            self.abort()


async def no_other_way(_batch: bytes) -> None:
    """Carry nothing.

    Raises:
        ConnectionError: Always.

    """
    raise ConnectionResetError("there is no connection")


class TcpWay(StreamCarrier):
    """The way to one far end, over the latest of its connections that is left; ``otherwise`` carries batches
    while there is none.
    """

    def __init__(self, otherwise: Carrier = no_other_way) -> None:
        super().__init__()
        self._otherwise = otherwise
        self._links: list[TcpLink] = []
        self._connected = asyncio.Event()

    def __len__(self) -> int:
        """Count the connections."""
        return len(self._links)

    @property
    def places(self) -> int:  # type: ignore[override]  # it changes as the connection takes more or less
        """How many batches may be under way now: as many as TCP lets go."""
        if not self._links:
            return BATCHES_UNDER_WAY
        return BATCHES_MOST if self._links[-1].writable else 0

    def __call__(self, batch: bytes) -> Awaitable[object]:
        """Write a batch to the connection; what is awaited raises where that broke.

        Raises:
            Exception: That failed, or may have: a ConnectionError, or what the other way met.

        """
        if not self._links:
            return self._otherwise(batch)
        link = self._links[-1]
        return link.carry(in_version(batch, link.version))

    def latest(self) -> TcpLink:
        """Give the connection that is used.

        Raises:
            ConnectionError: There is none.

        """
        if not self._links:
            raise ConnectionResetError("there is no connection")
        return self._links[-1]

    async def connected(self) -> TcpLink:
        """Wait for a connection, and give it."""
        while not self._links:
            self._connected.clear()
            await self._connected.wait()
        return self._links[-1]

    def add(self, link: TcpLink) -> None:
        """Use a connection from here on."""
        link.on_room = self._have_room
        self._links.append(link)
        self._connected.set()
        self.on_room()

    def drop(self, link: TcpLink) -> None:
        """A connection is over."""
        if link in self._links:
            self._links.remove(link)
            self.on_room()

    def _have_room(self) -> None:
        self.on_room()


def _tune(its_socket: Any) -> None:
    # The loop's own object for the socket may not do this: a second descriptor of it is asked.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(its_socket.fileno())) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVEN_UP_AFTER_MS)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        # An end that only listens has sent nothing that could time out: a machine that lost its power, or is
        # cut off, would be connected for ever.
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ASKED_AFTER_S)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
