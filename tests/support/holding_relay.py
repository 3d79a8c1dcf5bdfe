"""A path to a port of loopback that a test can cut: what is relayed then stays away, as on a real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bench.ports import fresh_listener


class HoldingRelay:
    """Relays connections; ``cut`` swallows what the present ones bring, and lets no others in."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.port = 0

    def cut(self) -> None:
        """Let nothing through from now on, and tell nobody."""
        self._is_cut = True

    def heal(self) -> None:
        """Let new connections through. Those of before stay as they are: silent."""
        self._is_cut = False

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        self._writers.add(writer)
        if self._is_cut:
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers.add(far_writer)
        with suppress(ConnectionError):
            await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        swallows = False
        while data := await reader.read(10_000):
            swallows = swallows or self._is_cut
            if not swallows:
                writer.write(data)
                await writer.drain()
        if not swallows:
            writer.close()

    def close(self) -> None:
        """Hang up everywhere."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def holding_relay(to_port: int) -> AsyncIterator[HoldingRelay]:
    """Run a relay."""
    relay = HoldingRelay(to_port)
    server = await asyncio.start_server(relay.connected, sock=fresh_listener())
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.close()
