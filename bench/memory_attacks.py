"""The attacks of ``bench.memory``: each multiplies what may be large by what may be many."""

import asyncio
import contextlib
import gzip
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from bench.service import Service, create_key
from tests.support.certificates import Certificate

LARGE = 5 * 1024 * 1024
PATIENCE_S = 60.0
PIECE = 64 * 1024
SECURE = "/secure"
"""Paths that begin so are asked for over https."""
RECEIVERS = 20
RETRIES = {"max_retries": 9, "reroute_codes": [], "retry_codes": [500]}
PACE = "X-EZTHROTTLE-RPS: 2000\r\nX-EZTHROTTLE-MAX-CONCURRENT: 1000\r\n"
SHORT_LINES = "".join(f"{number:x}:\r\n" for number in range(4_000))
"""What takes a header's reader most: more of them than 128 KiB are counted as are kept."""
_numbers = itertools.count()


class Target:
    """A server of large answers, and of none: its paths say which."""

    def __init__(self) -> None:
        self._bomb = b""
        self.url = ""
        self.secure_url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        secure = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, backlog=1024, ssl=Certificate.made().server()
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.secure_url = f"https://127.0.0.1:{secure.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            for each in (server, secure):
                each.close()
                each.abort_clients() if hasattr(each, "abort_clients") else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What is under way when the loop ends is cancelled: nothing to print for each.
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await reader.readexactly(_content_length(head))
                await self._answer(writer, head.split(" ", 2)[1])
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, path: str) -> None:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        size, status = int(query.get("bytes", LARGE)), query.get("status", "200")
        match parts.path:
            case "/hangs":
                await asyncio.sleep(3600)
            case "/bomb":
                self._bomb = self._bomb or gzip.compress(bytes(1024**3), 1)
                await _write(writer, status, self._bomb, "Content-Encoding: gzip\r\n")
            case "/trickle":
                await self._trickle(writer, size)
            case "/headers":
                await _write(writer, status, b"ok", SHORT_LINES)
            case "/nul":
                await _write(writer, status, bytes(size))
            case _:
                await _write(writer, status, b"x" * size)

    async def _trickle(self, writer: asyncio.StreamWriter, size: int) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{PACE}Content-Length: {size + 3600}\r\n\r\n".encode())
        for _ in range(size // PIECE):
            writer.write(b"x" * PIECE)
            await writer.drain()
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)


async def _write(writer: asyncio.StreamWriter, status: str, body: bytes, fields: str = "") -> None:
    writer.write(f"HTTP/1.1 {status} Said\r\n{PACE}{fields}Content-Length: {len(body)}\r\n\r\n".encode())
    for at in range(0, len(body), PIECE):
        writer.write(body[at : at + PIECE])
        await writer.drain()
        if writer.is_closing():
            return


def _content_length(head: str) -> int:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return next((int(value) for name, _, value in lines if name.lower() == "content-length"), 0)


class Attacker:
    """A customer of the service who has a target and twenty receivers, all of which hang."""

    def __init__(self, service: Service, target: Target, receivers: list[str], hold_s: float) -> None:
        self._service = service
        self._key = create_key(service.data_dir, f"cust_attacker_{next(_numbers)}")
        self.api = httpx.AsyncClient(
            base_url=service.base_url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=httpx.Timeout(PATIENCE_S),
            limits=httpx.Limits(max_connections=400),
        )
        self.target = target
        self.receivers = receivers
        self.hold_s = hold_s

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, service: Service, hold_s: float) -> AsyncIterator[Self]:
        """Open everything, until the block ends. What an attack has built up it holds for ``hold_s``."""
        async with contextlib.AsyncExitStack() as stack:
            target = await stack.enter_async_context(Target().running())
            receivers = [f"{await stack.enter_async_context(_hanging())}/hook" for _ in range(RECEIVERS)]
            attacker = cls(service, target, receivers, hold_s)
            await stack.enter_async_context(attacker.api)
            yield attacker

    async def submit(self, path: str, **fields: Any) -> str:
        """Submit a job of one's own; give its id."""
        job = {"url": self._url(path), "idempotent_key": f"{time.time_ns()}-{next(_numbers)}"}
        answer = await self.api.post("/api/v1/jobs", json=job | fields)
        answer.raise_for_status()
        job_id: str = answer.json()["job_id"]
        return job_id

    def _url(self, path: str) -> str:
        return (self.target.secure_url if path.startswith(SECURE) else self.target.url) + path

    async def end_of(self, job_id: str) -> None:
        """Wait for a job's end, without reading its result."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            page = await self.api.get("/api/v1/jobs", params={"limit": 100})
            if any(job["job_id"] == job_id and job["ended_at"] for job in page.json()["jobs"]):
                return
            await asyncio.sleep(0.1)
        msg = f"{job_id} did not end"
        raise TimeoutError(msg)

    async def result_of(self, path: str, **fields: Any) -> str:
        """Run a job; give its id."""
        job_id = await self.submit(path, **fields)
        await self.end_of(job_id)
        return job_id

    async def open_gate(self, path: str = "/letters") -> None:
        """Hear the target's pace."""
        await self.result_of(f"{path}?bytes=10")

    async def cancel_all(self, job_ids: list[str]) -> None:
        """End what is under way."""
        await asyncio.gather(*(self.api.delete(f"/api/v1/jobs/{job_id}") for job_id in job_ids))

    async def read_slowly(self, path: str, count: int) -> None:
        """Begin to read an answer so many times, and go on with none of them."""
        opened = await asyncio.gather(*(self._begin_to_read(path) for _ in range(count)))
        await asyncio.sleep(self.hold_s)
        for sock in opened:
            sock.close()

    async def _begin_to_read(self, path: str) -> socket.socket:
        sock = await self._connect()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\n{self.fields}\r\n".encode())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.hold_s):
                await loop.sock_recv(sock, 1000)
        return sock

    @property
    def fields(self) -> str:
        """Give the header of an authorized request."""
        return f"Host: service\r\nAuthorization: Bearer {self._key}\r\n"

    async def send_and_wait(self, data: bytes, count: int) -> None:
        """Open so many connections, send this on each, and go on with none of them."""
        opened = [await self._connect() for _ in range(count)]
        loop = asyncio.get_running_loop()

        async def send(sock: socket.socket) -> None:
            # Who is refused finds his connection closed.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self.hold_s):
                    await loop.sock_sendall(sock, data)

        await asyncio.gather(*map(send, opened))
        await asyncio.sleep(self.hold_s)
        for sock in opened:
            sock.close()

    async def _connect(self) -> socket.socket:
        parts = urlsplit(self._service.base_url)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        return sock


@contextlib.asynccontextmanager
async def _hanging() -> AsyncIterator[str]:
    """A receiver that takes everything and says nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A writer that is left open when the loop ends is a warning, in whatever test comes next.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while await reader.read(1024 * 1024):
                pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0, backlog=256)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack; ``make`` returns when it is over."""

    name: str
    what: str
    make: Callable[[Attacker], Awaitable[None]]


def _hooks(path: str, jobs: int) -> Callable[[Attacker], Awaitable[None]]:
    async def make(attacker: Attacker) -> None:
        await attacker.open_gate()
        hooks = [{"url": url} for url in attacker.receivers]
        await asyncio.gather(*(attacker.submit(path, webhooks=hooks) for _ in range(jobs)))
        await asyncio.sleep(attacker.hold_s)

    return make


def _answers(path: str, jobs: int, **fields: Any) -> Callable[[Attacker], Awaitable[None]]:
    async def make(attacker: Attacker) -> None:
        await attacker.open_gate(SECURE if path.startswith(SECURE) else "/letters")
        ids = await asyncio.gather(*(attacker.submit(path, **fields) for _ in range(jobs)))
        await asyncio.sleep(attacker.hold_s)
        await attacker.cancel_all(ids)

    return make


def _readers(count: int, results: int = 1, suffix: str = "") -> Callable[[Attacker], Awaitable[None]]:
    async def make(attacker: Attacker) -> None:
        await attacker.open_gate()
        ids = [await attacker.result_of("/letters") for _ in range(results)]
        each = count // results
        await asyncio.gather(*(attacker.read_slowly(f"/api/v1/jobs/{id_}{suffix}", each) for id_ in ids))

    return make


def _later(body: int = 1_000_000) -> dict[str, Any]:
    return {"retry_at": int(time.time() * 1000) + 86_400_000, "body": "x" * body, "method": "POST"}


async def _polls(attacker: Attacker) -> None:
    ids = [await attacker.submit("/letters", **_later()) for _ in range(50)]
    await asyncio.gather(*(attacker.read_slowly(f"/api/v1/jobs/{id_}?wait=60", 8) for id_ in ids))
    await attacker.cancel_all(ids)


async def _streams(attacker: Attacker) -> None:
    ids = [await attacker.submit("/letters", **_later()) for _ in range(100)]
    await asyncio.gather(*(attacker.read_slowly(f"/api/v1/jobs/{id_}/stream", 1) for id_ in ids))
    await attacker.cancel_all(ids)


async def _heads(attacker: Attacker) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: service\r\n"
    await asyncio.gather(
        attacker.send_and_wait(head + b"x:\r\n" * 15_000, 500),
        attacker.send_and_wait(head + b"x: y" * 15_000, 500),
    )


async def _bodies(attacker: Attacker) -> None:
    head = f"POST /api/v1/jobs HTTP/1.1\r\n{attacker.fields}Content-Length: 64000\r\n\r\n"
    await attacker.send_and_wait(head.encode() + b" " * 63_000, 1_000)


async def _pipelines(attacker: Attacker) -> None:
    job_id = await attacker.submit("/letters", **_later(10))
    first = f"GET /api/v1/jobs/{job_id}?wait=60 HTTP/1.1\r\n{attacker.fields}\r\n"
    await attacker.send_and_wait(first.encode() + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000, 300)
    await attacker.cancel_all([job_id])


async def _lists(attacker: Attacker) -> None:
    for _ in range(3):
        keys = [f"{'k' * 480}-{time.time_ns()}-{number}" for number in range(1_000)]
        jobs = [
            {"url": attacker.target.url, "retry_at": _later(0)["retry_at"], "idempotent_key": key}
            for key in keys
        ]
        await attacker.api.post("/api/v1/jobs:batch", json={"jobs": jobs})
    await attacker.read_slowly("/api/v1/jobs?limit=100", 400)


def _batches(body: str, metadata: str) -> Callable[[Attacker], Awaitable[None]]:
    """Sixteen megabytes each: a thousand jobs with headers, bodies and metadata."""

    async def one(attacker: Attacker, number: int) -> None:
        jobs = [
            _later()
            | {"url": f"{attacker.target.url}/{number}/{job}", "body": body, "metadata": {"m": metadata}}
            for job in range(1_000)
        ]
        text = json.dumps({"jobs": jobs}, separators=(",", ":"), ensure_ascii=False)
        await attacker.api.post("/api/v1/jobs:batch", content=text.encode())

    async def make(attacker: Attacker) -> None:
        await asyncio.gather(*(one(attacker, number) for number in range(12)))

    return make


ATTACKS = (
    Attack("nul-hooks", "3 answers of 5 MiB of NUL, each to 20 receivers that hang", _hooks("/nul", 3)),
    Attack("hooks", "12 answers of 5 MiB of letters, each to 20 receivers that hang", _hooks("/letters", 12)),
    Attack("trickle", "220 answers of 5.1 MB that do not end", _answers("/trickle?bytes=5100000", 220)),
    Attack("answers", "220 answers of 5 MiB at once", _answers("/letters", 220)),
    Attack("https", "600 answers of 5 MiB over https at once", _answers(SECURE, 600)),
    Attack("readers", "150 slow readers of a result of 5 MiB", _readers(150)),
    Attack("readers400", "400 slow readers of a result of 5 MiB", _readers(400)),
    Attack("results", "400 slow readers of 40 results of 5 MiB", _readers(400, 40)),
    Attack("ends", "90 streams that end with a result of 5 MiB", _readers(90, 1, "/stream")),
    Attack("bomb", "an answer of 1 GiB of zeros as gzip", _answers("/bomb", 1)),
    Attack("bombs", "30 of them at once", _answers("/bomb", 30)),
    Attack(
        "fanout",
        "40 jobs that fan out to three regions, 5 MiB each",
        _answers("/letters", 40, execution_mode="fanout", regions=["iad", "lax", "ord"]),
    ),
    Attack(
        "retries",
        "500 jobs that wait for a retry, each with an answer of 5 MiB",
        _answers(
            "/letters?status=500",
            500,
            retry_policy=RETRIES,
        ),
    ),
    Attack("headers", "600 answers of 4,000 header lines", _answers("/headers", 600)),
    Attack(
        "headers500",
        "500 jobs that wait for a retry, each with an answer of 4,000 header lines",
        _answers("/headers?status=500", 500, retry_policy=RETRIES),
    ),
    Attack("heads", "1,000 connections with 60 KB of a head each, half of them in short lines", _heads),
    Attack("bodies", "1,000 connections with 63 of 64 KB of a submission each", _bodies),
    Attack("pipelines", "300 connections with 10,000 requests each behind a long poll", _pipelines),
    Attack("polls", "400 long polls of 50 jobs with a body of 1 MB", _polls),
    Attack("streams", "100 streams of 100 jobs with a body of 1 MB", _streams),
    Attack("lists", "400 slow readers of pages of 100 jobs with keys of 500 characters", _lists),
    Attack("batches", "12 batches of 16 MB at once", _batches("x" * 10_000, "y" * 5_000)),
    Attack(
        "emoji", "12 batches of 15 MB at once, with one emoji in each body", _batches("x" * 15_000 + "😀", "")
    ),
    Attack(
        "waiting",
        "1,000 jobs of 60 KB that wait for a retry",
        _answers(
            "/letters?status=500&bytes=10", 1_000, method="POST", body="x" * 60_000, retry_policy=RETRIES
        ),
    ),
)
