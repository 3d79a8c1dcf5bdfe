"""The floor of a race over machines, bare TCP: a front asks every relay, and each of these the target.

    python -m bench.testbed.echo relay PORT REGION TARGET_HOST TARGET_PORT
    python -m bench.testbed.echo front PORT RELAY_HOST RELAY_PORT ...

Nothing is kept, checked, queued or encrypted. A line to the front is a name and a path. It passes back the
name once the first relay has its answer, and has the others close theirs. A relay that has closed its last
one dials anew at once, as the service's executors do, so that the next race need not wait for that.
"""

import asyncio
import contextlib
import sys

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ASK, DROP = b"ask", b"drop"


class Relay:
    """Asks a target for whatever comes from the front, as a region's executor would."""

    def __init__(self, region: str, host: str, port: int) -> None:
        self._region = region
        self._host, self._port = host, port
        self._idle: list[Connection] = []
        self._dialling: asyncio.Task[None] | None = None
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask, and close, as told."""
        while line := await reader.readline():
            word, name, *path = line.split()
            if word == ASK:
                self._asking[name] = asyncio.create_task(self._ask(name, path[0], writer))
            elif (asking := self._asking.pop(name, None)) is not None:
                asking.cancel()

    async def _ask(self, name: bytes, path: bytes, front: asyncio.StreamWriter) -> None:
        connection = self._idle.pop() if self._idle else await self._dial()
        reader, writer = connection
        try:
            writer.write(self._request(name, path))
            await _answer(reader)
        except asyncio.CancelledError:
            writer.close()
            self._dial_ahead()
            raise
        self._idle.append(connection)
        self._asking.pop(name, None)
        front.write(name + b"\n")

    def _dial_ahead(self) -> None:
        if not self._idle and self._dialling is None:
            self._dialling = asyncio.create_task(self._keep_another())

    async def _keep_another(self) -> None:
        self._idle.append(await self._dial())
        self._dialling = None

    async def _dial(self) -> Connection:
        return await asyncio.open_connection(self._host, self._port)

    def _request(self, name: bytes, path: bytes) -> bytes:
        return (
            f"GET {path.decode()} HTTP/1.1\r\nHost: {self._host}\r\nX-EZTHROTTLE-REGION: {self._region}\r\n"
            f"X-EZTHROTTLE-JOB-ID: {name.decode()}\r\n\r\n"
        ).encode()


class Front:
    """Asks all relays for whatever comes from a client, and tells who was first."""

    def __init__(self) -> None:
        self._relays: list[asyncio.StreamWriter] = []
        self._clients: dict[bytes, asyncio.StreamWriter] = {}
        self._hearing: list[asyncio.Task[None]] = []

    async def connect(self, host: str, port: int) -> None:
        """Connect to a relay."""
        reader, writer = await asyncio.open_connection(host, port)
        self._relays.append(writer)
        self._hearing.append(asyncio.create_task(self._hear(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what a client asks for."""
        while line := await reader.readline():
            self._clients[line.split()[0]] = writer
            for relay in self._relays:
                relay.write(ASK + b" " + line)

    async def _hear(self, reader: asyncio.StreamReader, first: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if (client := self._clients.pop(line.strip(), None)) is None:
                continue
            client.write(line)
            for relay in self._relays:
                if relay is not first:
                    relay.write(DROP + b" " + line)


async def _answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(length.partition(b":")[2]))


async def main() -> None:
    """Serve until killed."""
    part, port, *rest = sys.argv[1:]
    if part == "relay":
        region, host, target_port = rest
        serve = Relay(region, host, int(target_port)).serve
    else:
        front = Front()
        for host, relay_port in zip(rest[::2], rest[1::2], strict=True):
            await front.connect(host, int(relay_port))
        serve = front.serve
    server = await asyncio.start_server(serve, host="0.0.0.0", port=int(port))
    print("listening", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
