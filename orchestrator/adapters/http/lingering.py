"""Closing a connection whose client may still be sending.

To close a socket that holds unread bytes resets it, and a client that is told of a reset while it sends loses
the answer that is on its way to it. So the answer goes first, with the end of our side of the stream; what
still comes is dropped for a while; and only then is the connection closed (RFC 9112, 9.6).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from orchestrator.domain.recent import Recent

DROPPED_FOR_S = 5.0
DROPPED_BYTES_MOST = 16 * 1024 * 1024
JOINED_BYTES_MOST = 16 * 1024
"""A body of more is not copied behind its head."""
REFUSED_MOST = 128
"""Connections over the limit that are let down gently at once: each holds a file that was kept back."""


class LingeringTransport(asyncio.Transport):
    """A connection's transport. ``close`` is a gentle one where its client may be sending.

    Args:
        under: What the event loop made.
        sends: Says whether the client may still be sending.

    """

    def __init__(self, under: asyncio.Transport, sends: Callable[[], bool]) -> None:
        super().__init__()
        self._under = under
        self._sends = sends
        self._dropped = 0
        self._kept: bytes | None = None
        self._over: asyncio.TimerHandle | None = None

    @property
    def lingering(self) -> bool:
        """Whether all has been said, and what comes is dropped."""
        return self._over is not None

    def close(self) -> None:
        """Say no more; close at once where nobody sends, else after a while."""
        if self.lingering or self._under.is_closing():
            return
        self.send_on()
        if self._sends():
            self.linger()
        else:
            self._under.close()

    def linger(self) -> None:
        """End our side of the stream, and drop what comes until the client ends its own."""
        self.send_on()
        self._over = asyncio.get_running_loop().call_later(DROPPED_FOR_S, self._under.abort)
        with contextlib.suppress(OSError, RuntimeError):
            self._under.write_eof()
        # Reading may have been paused for a body that nobody wants any more.
        with contextlib.suppress(RuntimeError):
            self._under.resume_reading()

    def drop(self, size: int) -> None:
        """Count bytes that came too late; too many end the connection."""
        self._dropped += size
        if self._dropped > DROPPED_BYTES_MOST:
            self._under.abort()

    def lost(self) -> None:
        """Let go of everything: the connection is gone."""
        self._sends = _nobody
        if self._over is not None:
            self._over.cancel()

    def is_closing(self) -> bool:
        """Whether there is nothing more to be said."""
        return self.lingering or self._under.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, unless all has been said, or the client has gone: uvloop raises for what asyncio drops."""
        if self.is_closing():
            return
        if self._kept is not None and len(data) <= JOINED_BYTES_MOST:
            self._kept += data
        else:
            self.send_on()
            self._under.write(data)

    def keep(self) -> None:
        """Keep what is written next, an answer's head, until ``send_on``: with its body it is one packet."""
        self._kept = b""

    def send_on(self) -> None:
        """Send what was kept, and whatever is written from here on at once."""
        kept, self._kept = self._kept, None
        if kept and not self.is_closing():
            self._under.write(kept)

    def abort(self) -> None:
        """Close at once."""
        self._under.abort()

    def pause_reading(self) -> None:
        """Let the client wait."""
        if not self.is_closing():
            self._under.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if not self.is_closing():
            self._under.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the socket."""
        return self._under.get_extra_info(name, default)


def _nobody() -> bool:
    return False


class Refused:
    """The connections over the limit that are being let down: of too many, the oldest is closed at once."""

    def __init__(self) -> None:
        self._transports: Recent[LingeringTransport, LingeringTransport] = Recent(REFUSED_MOST)

    def add(self, transport: LingeringTransport) -> None:
        """Let one more down."""
        if (oldest := self._transports.put(transport, transport)) is not None:
            oldest.abort()

    def discard(self, transport: LingeringTransport) -> None:
        """Forget one that is gone."""
        self._transports.drop(transport)
