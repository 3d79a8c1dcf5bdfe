"""A path with delay and a bandwidth, in user space: what connects is relayed, each byte some time later.

``python -m bench.delaying_relay HOST:PORT DELAY_MS BYTES_PER_S`` prints the port that it listens on.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from subprocess import PIPE, Popen

PIECE_BYTES = 32 * 1024
QUEUE_S = 0.05
"""Of the bandwidth: what waits in front of the bottleneck, before the sender has to."""


class Bottleneck:
    """One direction of the path, shared by all its connections."""

    def __init__(self, delay_s: float, bytes_per_s: float) -> None:
        self._delay_s = delay_s
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, until one end closes."""
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = asyncio.create_task(self._write(arriving, writer))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(PIECE_BYTES):
                now = time.monotonic()
                self._free_at = max(now, self._free_at) + len(data) / self._bytes_per_s
                arriving.put_nowait((self._free_at + self._delay_s, data))
                await asyncio.sleep(max(0.0, self._free_at - now - QUEUE_S))
        arriving.put_nowait((time.monotonic() + self._delay_s, b""))
        await writing

    async def _write(
        self, arriving: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                at, data = await arriving.get()
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


async def serve(host: str, port: int, delay_s: float, bytes_per_s: float) -> None:
    """Relay for ever."""
    there, back = (Bottleneck(delay_s, bytes_per_s) for _ in range(2))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(there.relay(reader, far_writer), back.relay(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def relayed(port: int, delay_s: float, bytes_per_s: float) -> Iterator[int]:
    """Run a relay to a port of loopback in a process of its own; give its port."""
    command = (sys.executable, "-m", "bench.delaying_relay", f"127.0.0.1:{port}")
    with Popen([*command, str(delay_s * 1000), str(bytes_per_s)], stdout=PIPE, text=True) as relay:
        assert relay.stdout is not None
        try:
            yield int(relay.stdout.readline())
        finally:
            relay.kill()


if __name__ == "__main__":
    address, delay_ms, rate = sys.argv[1:]
    to_host, _, to_port = address.rpartition(":")
    asyncio.run(serve(to_host, int(to_port), float(delay_ms) / 1000, float(rate)))
