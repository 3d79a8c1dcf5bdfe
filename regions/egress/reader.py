"""Reading answers off a connection.

The reader stands before the connection's own protocol (``transport.set_protocol``) and takes what arrives;
that protocol goes on hearing of the connection itself: its end, and whether it can be written to.
"""

import asyncio
import os
from typing import Protocol, cast

from regions.egress.answer import Answer
from regions.egress.answer_room import FREE_BYTES, BodyRoom
from regions.egress.idle import IdleConnections
from regions.egress.reading_share import ReadingShare, cpu_s

FREE_S = 0.0005
"""CPU time for reading one answer before it counts as costly. One of 100 headers takes half of that."""
FREE_PER_BYTE_S = 2e-9
"""What large answers may take besides: reading takes a tenth of that, and tiny chunks ten times it."""
SLICE_BYTES = 16 * 1024
"""What is read at a time, so that the costliest slice holds the event loop up for about a millisecond."""
HEAD_SLICE_BYTES = 2 * 1024
"""The same of a head, whose lines may be very short."""
CODED_SLICE_BYTES = 512
"""The same of a body that has to be decoded: it may become a thousand times as large."""
_BUFFER = memoryview(bytearray(FREE_BYTES))


class _WithinTls(Protocol):
    def set_read_buffer_limits(self, *, high: int) -> None:
        """Read no further while more than so many bytes were not taken."""


class _Gone(asyncio.Transport):
    """In place of a transport whose connection has ended."""

    def is_closing(self) -> bool:
        """It is over."""
        return True

    def close(self) -> None:
        """Nothing is left to close."""

    def abort(self) -> None:
        """The same."""


_GONE = _Gone()


class AnswerReader(asyncio.BufferedProtocol):
    """Reads one answer after the other from a connection, each when it was asked for."""

    def __init__(
        self,
        protocol: asyncio.Protocol,
        transport: asyncio.Transport,
        share: ReadingShare,
        idle: IdleConnections,
    ) -> None:
        self._protocol = protocol
        self._transport = transport
        self._share = share
        self._idle = idle
        self._secure = transport.get_extra_info("sslcontext") is not None
        self._answer: Answer | None = None
        self._cost_s = 0.0
        self._arrived = b""
        self._read_to = 0
        self._in_line = False
        self._room: BodyRoom | None = None
        self._growing: asyncio.Task[None] | None = None
        self._lost: str | None = None

    @classmethod
    def before(
        cls, transport: asyncio.Transport, share: ReadingShare, idle: IdleConnections
    ) -> "AnswerReader":
        """Put one before a connection's protocol, or take the one that is there."""
        found = transport.get_protocol()
        if isinstance(found, cls):
            idle.wake(found)
            return found
        reader = cls(cast("asyncio.Protocol", found), transport, share, idle)
        transport.set_protocol(reader)
        if reader._secure:
            # Else it would go on reading, and lay 256 KiB aside that nobody has deciphered.
            cast("_WithinTls", transport).set_read_buffer_limits(high=1)
        return reader

    def begin(self, answer: Answer, room: BodyRoom) -> None:
        """What arrives from now on is ``answer``; ``room`` says how much of its body may be in memory."""
        self._answer = answer
        self._room = room
        self._cost_s = 0.0

    def end(self) -> None:
        """The answer is not waited for any more. What arrives from now on was not asked for."""
        self._answer = None
        self._drop_rest()
        if self._in_line:
            self._in_line = False
            self._share.leave(self)
        if self._growing is not None:
            self._growing.cancel()
            self._growing = None
        if self._room is not None:
            self._room.close()
            self._room = None

    def rest(self) -> None:
        """The connection goes back into its pool."""
        if not self._transport.is_closing():
            self._idle.rest(self, secure=self._secure)

    def hang_up(self) -> None:
        """Others need the room of a connection that nobody uses."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's
        """Lend what the system writes into: one for all, for it is read at once."""
        return _BUFFER if self._room is None else _BUFFER[: self._room.free]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what the system has written."""
        self.data_received(bytes(_BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Read what arrived; close a connection that speaks before it is asked."""
        answer = self._answer
        if answer is None:
            self._transport.close()
        elif self._waits:
            self._arrived, self._read_to = self._arrived[self._read_to :] + data, 0
        else:
            self._arrived, self._read_to = data, 0
            self._read_on(answer)

    @property
    def _waits(self) -> bool:
        return self._in_line or self._growing is not None

    def take_turn(self) -> bool:
        """Read a slice of what waits; say whether there is more."""
        answer = self._answer
        if answer is not None and self._has_room(answer):
            self._read_slice(answer)
            if self._has_more(answer):
                return True
        self._in_line = False
        if answer is not None and self._has_more(answer):
            self._wait_for_room(answer)
        else:
            self._go_on()
        return False

    def eof_received(self) -> bool | None:
        """Hand it on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The answer ends here, once all that came before was read."""
        self._lost = _words(exc)
        self._idle.wake(self)
        # uvloop's TLS keeps methods of this one: its buffers would stay until the next garbage collection.
        self._transport = _GONE
        if not self._waits:
            self._go_on()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._protocol.resume_writing()

    def _read_on(self, answer: Answer) -> None:
        while self._has_more(answer):
            if not self._has_room(answer):
                self._wait_for_room(answer)
                return
            if self._cost_s > FREE_S and not self._share.admits():
                self._in_line = True
                self._pause()
                self._share.line_up(self)
                return
            self._read_slice(answer)

    def _pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _has_room(self, answer: Answer) -> bool:
        return self._room is None or self._room.covers(self._size_after_slice(answer))

    def _size_after_slice(self, answer: Answer) -> int:
        return answer.size_after(self._arrived, self._read_to, self._read_to + self._slice_bytes(answer))

    def _slice_bytes(self, answer: Answer) -> int:
        body_bytes = CODED_SLICE_BYTES if answer.coded else SLICE_BYTES
        most = HEAD_SLICE_BYTES if answer.in_head else body_bytes
        return min(most, len(self._arrived) - self._read_to)

    def _wait_for_room(self, answer: Answer) -> None:
        self._pause()
        self._growing = asyncio.get_running_loop().create_task(self._grow(answer))

    async def _grow(self, answer: Answer) -> None:
        if self._room is not None:
            await self._room.grow(self._size_after_slice(answer))
        self._growing = None
        self._read_on(answer)
        if not self._waits:
            self._go_on()

    def _has_more(self, answer: Answer) -> bool:
        if answer.over.done() and self._drop_rest():
            answer.reusable = False
        return self._read_to < len(self._arrived)

    def _read_slice(self, answer: Answer) -> None:
        until = self._read_to + self._slice_bytes(answer)
        data = self._arrived[self._read_to : until]
        began = cpu_s()
        self._read_to = until - answer.feed(data)
        cost_s = max(0.0, cpu_s() - began - FREE_PER_BYTE_S * len(data))
        if self._cost_s > FREE_S:
            self._share.charge(cost_s)
        self._cost_s += cost_s

    def _drop_rest(self) -> bool:
        """Forget what was not read; say whether there was any."""
        had_more = self._read_to < len(self._arrived)
        self._arrived, self._read_to = b"", 0
        return had_more

    def _go_on(self) -> None:
        """All that had come was read: the end of the connection is next, or more of the answer."""
        if self._lost is None:
            if not self._transport.is_closing():
                self._transport.resume_reading()
        elif self._answer is not None and not self._answer.over.done():
            self._answer.lost(self._lost)


def _words(exc: Exception | None) -> str:
    """The system's words for how a connection broke: an event loop's own would name the address dialled."""
    if exc is None:
        return ""
    errno = exc.errno if isinstance(exc, OSError) else None
    return f"the connection broke: {os.strerror(errno) if errno else 'no reason given'}"
