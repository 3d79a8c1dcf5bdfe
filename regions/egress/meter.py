"""A bound on the work that reading one answer may make.

Interim answers without end, or a body in chunks of one byte, cost the parser far more time than they cost
their sender. While it is at that, nobody else's answer is read and no heartbeat is heard: so a connection
that uses up its time is closed.
"""

import asyncio
import time
from typing import cast

WORK_MOST_S = 0.2
"""CPU time for parsing one answer. 5 MiB take 0.002 s in one piece, and 0.04 s in chunks of 100 bytes."""
WORK_PER_BYTE_S = 2e-9
"""What large answers may take besides: parsing takes a tenth of that, and tiny chunks twenty times it."""


class MeteredProtocol(asyncio.Protocol):
    """Stands before a connection's protocol, and measures what it does with what arrives."""

    def __init__(self, protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._protocol = protocol
        self._transport = transport
        self._left_s = WORK_MOST_S

    @classmethod
    def before(cls, transport: asyncio.Transport) -> "MeteredProtocol":
        """Put one before a connection's protocol; one that is there already begins anew."""
        found = transport.get_protocol()
        if isinstance(found, cls):
            found.begin_anew()
            return found
        metered = cls(cast("asyncio.Protocol", found), transport)
        transport.set_protocol(metered)
        return metered

    def begin_anew(self) -> None:
        """Give the next answer its whole time."""
        self._left_s = WORK_MOST_S

    def exhausted(self) -> bool:
        """Whether the answer made too much work."""
        return self._left_s <= 0

    def data_received(self, data: bytes) -> None:
        """Hand on what arrived, and close the connection when its time is used up."""
        if self.exhausted():
            return
        began = time.thread_time()
        self._protocol.data_received(data)
        self._left_s -= time.thread_time() - began - WORK_PER_BYTE_S * len(data)
        if self.exhausted():
            self._transport.abort()

    def eof_received(self) -> bool | None:
        """Hand it on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._protocol.resume_writing()
