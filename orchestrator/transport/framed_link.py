"""Frames on a stream: a length (4 bytes, big-endian, of what follows), a kind (1 byte), a number (4 bytes)
and a payload.
"""

import asyncio
import struct
from abc import ABC, abstractmethod
from enum import IntEnum
from typing import cast

_HEAD = struct.Struct("!IBI")
_AFTER_LENGTH = _HEAD.size - 4
NO_BOUND = 2**32


class FrameKind(IntEnum):
    """What a frame is."""

    HELLO = 0
    """The first one of who connects: who that is."""
    BATCH = 1
    TAKEN = 2
    """The batch of this number was taken."""
    WELCOME = 3
    """The answer to a hello between machines."""
    REFUSED = 4
    """The other answer: its payload says why."""
    BEAT = 5
    """A heartbeat, on a connection of its own."""
    REPLY = 6
    """The answer to the heartbeat of this number."""


class FramedLink(asyncio.Protocol, ABC):
    """One end of a connection. A batch counts as carried once the other end says that it was taken."""

    frame_most = NO_BOUND
    """Bytes of a payload that are let in."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._under_way: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0
        self._received = bytearray()

    def carry(self, batch: bytes) -> "asyncio.Future[bytes]":
        """Write one batch; the future is done once it was taken, or else raises as ``ask`` does.

        Raises:
            ConnectionError: The connection is closed.

        """
        return self.ask(FrameKind.BATCH, batch)

    def ask(self, kind: FrameKind, payload: bytes) -> "asyncio.Future[bytes]":
        """Write a frame; the future holds the payload of the one that answers it, or ConnectionError where
        the connection broke: the frame may have been taken.

        Raises:
            ConnectionError: The connection is closed.

        """
        self._number = (self._number + 1) % 2**32
        number = self._number
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._under_way[number] = answered
        self.send(kind, payload, number)
        return answered

    def close(self) -> None:
        """Close the connection, once what was written to it has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio hands it over
        """End (asyncio)."""
        self._transport = None
        for answered in self._under_way.values():
            if not answered.done():
                answered.set_exception(ConnectionResetError("the connection to the other process broke"))
        self._under_way.clear()

    def data_received(self, data: bytes) -> None:
        """Take what came (asyncio)."""
        received, at = self._received, 0
        received += data
        while self._transport is not None and len(received) - at >= _HEAD.size:
            length, kind, number = _HEAD.unpack_from(received, at)
            end = at + _HEAD.size - _AFTER_LENGTH + length
            if not 0 <= length - _AFTER_LENGTH <= self.frame_most:
                msg = f"a frame of {length} bytes"
                raise ValueError(msg)
            if len(received) < end:
                break
            self.opened(FrameKind(kind), number, bytes(received[at + _HEAD.size : end]))
            at = end
        del received[:at]

    @abstractmethod
    def opened(self, kind: FrameKind, number: int, payload: bytes) -> None:
        """Take one frame; raises where none such may come."""

    def answered(self, number: int, payload: bytes) -> None:
        """Give an answer to whoever waits for it still."""
        waiting = self._under_way.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(payload)

    def send(self, kind: FrameKind, payload: bytes = b"", number: int = 0) -> None:
        """Write a frame.

        Raises:
            ConnectionError: The connection is closed.

        """
        if self._transport is None:
            self._under_way.pop(number, None)
            raise ConnectionResetError("the connection to the other process is closed")
        self._transport.write(_HEAD.pack(_AFTER_LENGTH + len(payload), kind, number) + payload)
