"""Servers on the loopback interface that say and notice exactly what a test wants."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
import uvloop
from aiohttp import AddrInfoType
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from regions.egress.client import AiohttpEgress
from regions.egress.dns import GuardedDialler
from regions.guard import AddressPolicy


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The client is tested on both event loops, for each has sockets and transports of its own."""
    factories = {"asyncio": asyncio.new_event_loop}
    if item.path.name.startswith("test_egress"):
        factories["uvloop"] = uvloop.new_event_loop
    return factories


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """One whole request, header and body; nothing where the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head + await self.reader.readexactly(_content_length(head))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"ok", *, status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        await self.send(head.encode("latin-1") + body)

    async def eof(self) -> None:
        """Return when the client has closed, by FIN or by RST."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Handler = Callable[[Peer], Awaitable[None]]


class Server:
    """Keeps count of its connections and of the requests that a handler told it of."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._changed = asyncio.Condition()
        self.accepted = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.listener: asyncio.Server
        self.port = 0
        self.scheme = "http"

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        await self._count(1)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._handler(Peer(reader, writer))
        finally:
            writer.close()
            await self._count(-1)

    async def until_open(self, count: int, *, accepted: int = 0) -> None:
        """Return when ``count`` connections are open and at least ``accepted`` have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.open == count and self.accepted >= accepted)

    async def _count(self, change: int) -> None:
        self.open += change
        async with self._changed:
            self._changed.notify_all()


class Serve(Protocol):
    async def __call__(
        self, handler: Handler | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> Server: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server with a handler; without one it answers "ok" for as long as it is asked."""
    async with AsyncExitStack() as stack:

        async def start(
            handler: Handler | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
        ) -> Server:
            server = Server(handler or (lambda peer: _answer_all(server, peer)))
            listener = await asyncio.start_server(server.connected, host, 0, ssl=tls, backlog=1_000)
            server.listener = listener
            server.port = listener.sockets[0].getsockname()[1]
            server.scheme = "https" if tls else "http"
            stack.callback(listener.close)
            return server

        yield start


@pytest.fixture
async def egress() -> AsyncIterator[AiohttpEgress]:
    """The client under test, with a policy that lets it talk to this host."""
    async with AiohttpEgress(AddressPolicy(allow_private=True)) as client:
        yield client


class Dialled(list[socket.socket]):
    """The sockets that a client has opened; an event loop closes the very objects it was given."""

    @property
    def still_open(self) -> int:
        return sum(opened.fileno() != -1 for opened in self)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Dialled:
    """Every socket that a client made in this test opens."""
    sockets = Dialled()

    class Recording(GuardedDialler):
        def __call__(self, info: AddrInfoType) -> socket.socket:
            sockets.append(super().__call__(info))
            return sockets[-1]

    monkeypatch.setattr("regions.egress.sessions.GuardedDialler", Recording)
    return sockets


@dataclass(frozen=True)
class Certificate:
    """A certificate of its own making for 127.0.0.1, in the file ``ca_file``."""

    ca_file: str
    server: ssl.SSLContext


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "cert.pem").write_bytes(_self_signed(key).public_bytes(serialization.Encoding.PEM))
    return Certificate(str(folder / "cert.pem"), _server_context(folder))


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def _answer_all(server: Server, peer: Peer) -> None:
    while request := await peer.request():
        server.requests.append(request)
        await peer.answer()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
