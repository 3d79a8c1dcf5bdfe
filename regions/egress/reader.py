"""Reading answers off a connection.

The reader stands before the connection's own protocol (``transport.set_protocol``) and takes what arrives;
that protocol goes on hearing of the connection itself: its end, and whether it can be written to.
"""

import asyncio
import os
from typing import cast

from regions.egress.answer import Answer
from regions.egress.reading_share import ReadingShare, cpu_s

FREE_S = 0.002
"""CPU time for reading one answer before it counts as costly. One of 100 headers takes a tenth of that."""
FREE_PER_BYTE_S = 2e-9
"""What large answers may take besides: reading takes a tenth of that, and tiny chunks ten times it."""
SLICE_BYTES = 16 * 1024
"""What is read at a time, so that the costliest slice holds the event loop up for about a millisecond."""


class AnswerReader(asyncio.Protocol):
    """Reads one answer after the other from a connection, each when it was asked for."""

    def __init__(self, protocol: asyncio.Protocol, transport: asyncio.Transport, share: ReadingShare) -> None:
        self._protocol = protocol
        self._transport = transport
        self._share = share
        self._answer: Answer | None = None
        self._cost_s = 0.0
        self._arrived = b""
        self._read_to = 0
        self._in_line = False
        self._lost: str | None = None

    @classmethod
    def before(cls, transport: asyncio.Transport, share: ReadingShare) -> "AnswerReader":
        """Put one before a connection's protocol, or take the one that is there."""
        found = transport.get_protocol()
        if isinstance(found, cls):
            return found
        reader = cls(cast("asyncio.Protocol", found), transport, share)
        transport.set_protocol(reader)
        return reader

    def begin(self, answer: Answer) -> None:
        """What arrives from now on is ``answer``."""
        self._answer = answer
        self._cost_s = 0.0

    def end(self) -> None:
        """The answer is not waited for any more. What arrives from now on was not asked for."""
        self._answer = None
        self._drop_rest()
        if self._in_line:
            self._in_line = False
            self._share.leave(self)

    def data_received(self, data: bytes) -> None:
        """Read what arrived; close a connection that speaks before it is asked."""
        answer = self._answer
        if answer is None:
            self._transport.close()
        elif self._in_line:
            self._arrived, self._read_to = self._arrived[self._read_to :] + data, 0
        else:
            self._arrived, self._read_to = data, 0
            self._read_on(answer)

    def take_turn(self) -> bool:
        """Read a slice of what waits; say whether there is more."""
        answer = self._answer
        if answer is not None:
            self._read_slice(answer)
            if self._has_more(answer):
                return True
        self._in_line = False
        self._go_on()
        return False

    def eof_received(self) -> bool | None:
        """Hand it on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The answer ends here, once all that came before was read."""
        self._lost = _words(exc)
        if not self._in_line:
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
            if self._cost_s > FREE_S and not self._share.admits():
                self._in_line = True
                if not self._transport.is_closing():
                    self._transport.pause_reading()
                self._share.line_up(self)
                return
            self._read_slice(answer)

    def _has_more(self, answer: Answer) -> bool:
        if answer.over.done() and self._drop_rest():
            answer.reusable = False
        return self._read_to < len(self._arrived)

    def _read_slice(self, answer: Answer) -> None:
        until = self._read_to + SLICE_BYTES
        data = self._arrived[self._read_to : until]
        self._read_to = until
        began = cpu_s()
        answer.feed(data)
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
