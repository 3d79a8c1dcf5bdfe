"""A site on loopback that answers as it is told and writes down what it saw: a target, or a receiver."""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httptools

from bench.ports import fresh_listener

PATIENCE_S = 30.0
GENEROUS_PACE = {"X-EZTHROTTLE-RPS": "100000", "X-EZTHROTTLE-MAX-CONCURRENT": "1000"}


@dataclass(slots=True)
class Seen:
    """A request that came in. Times are monotonic seconds; ``closed_at``: its sender hung up unanswered."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    answered_at: float | None = None
    closed_at: float | None = None

    def json(self) -> Any:
        """Read the body."""
        return json.loads(self.body)

    @property
    def ended_at(self) -> float:
        """When it was answered or given up; infinite while it is neither."""
        ends = [at for at in (self.answered_at, self.closed_at) if at is not None]
        return min(ends, default=float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer, ``after_s`` seconds, which run once ``held`` is set where there is that. ``breaks``
    closes the connection instead.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    after_s: float = 0.0
    held: threading.Event | None = None
    breaks: bool = False

    def encode(self) -> bytes:
        """Write the response."""
        status = f"{self.status} {HTTPStatus(self.status).phrase}"
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


Script = Callable[[Seen], Reply]


class Site:
    """Scripts by path, and a log of requests. It serves in a thread of its own: see ``running_site``."""

    def __init__(self, port: int, otherwise: Script) -> None:
        self.port = port
        self._otherwise = otherwise
        self._scripts: dict[str, Script] = {}
        self._seen: list[Seen] = []
        self._changed = threading.Condition()

    def url(self, path: str = "/") -> str:
        """Write the URL of a path here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def on(self, path: str, *replies: Reply) -> str:
        """Answer requests for a path with these, one after the other, then ever the last; give its URL."""
        queue = list(replies)
        return self.script(path, lambda _: queue.pop(0) if len(queue) > 1 else queue[0])

    def script(self, path: str, script: Script) -> str:
        """Answer requests for a path with what ``script`` says; give its URL."""
        self._scripts[path] = script
        return self.url(path)

    def seen(self, path: str | None = None) -> list[Seen]:
        """List the requests for a path, or all, in the order in which they came."""
        with self._changed:
            return [seen for seen in self._seen if path in (None, seen.path.partition("?")[0])]

    def wait(
        self, holds: Callable[[list[Seen]], bool], path: str | None = None, timeout_s: float = PATIENCE_S
    ) -> list[Seen]:
        """Wait until something holds of the requests for a path.

        Raises:
            TimeoutError: It did not come to be.
        """
        with self._changed:
            met = self._changed.wait_for(lambda: holds(self.seen(path)), timeout_s)
        if not met:
            msg = (
                f"in vain for {timeout_s:g} s; {len(self.seen(path))} requests for {path or 'any path'} came"
            )
            raise TimeoutError(msg)
        return self.seen(path)

    def forget(self) -> None:
        """Begin the log anew."""
        with self._changed:
            self._seen.clear()

    def take(self, seen: Seen) -> Reply:
        """Write a request down and choose its answer."""
        with self._changed:
            self._seen.append(seen)
            self._changed.notify_all()
            script = self._scripts.get(seen.path.partition("?")[0])
            return (script or self._otherwise)(seen)

    def note_end(self, seen: Seen, *, answered: bool) -> None:
        """Write down that a request was answered, or that its sender hung up."""
        with self._changed:
            if answered:
                seen.answered_at = time.monotonic()
            else:
                seen.closed_at = time.monotonic()
            self._changed.notify_all()


class _Connection(asyncio.Protocol):
    """One connection; its method names are httptools' and asyncio's."""

    def __init__(self, site: Site, transports: set[asyncio.Transport]) -> None:
        self._site = site
        self._transports = transports
        self._transport: asyncio.Transport
        self._open: Seen | None = None
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            msg = f"{type(transport).__name__} is no stream"
            raise TypeError(msg)
        self._transport = transport
        self._transports.add(transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it went is no matter
        self._transports.discard(self._transport)
        if self._open is not None:
            self._site.note_end(self._open, answered=False)

    def on_message_begin(self) -> None:
        self._path, self._headers, self._body = "", {}, b""

    def on_url(self, url: bytes) -> None:
        self._path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        self._open = Seen(method, self._path, self._headers, self._body, time.monotonic())
        reply = self._site.take(self._open)
        if reply.held is None:
            self._answer_later(self._open, reply)
        else:
            waiting = asyncio.get_running_loop().run_in_executor(None, reply.held.wait, PATIENCE_S)
            waiting.add_done_callback(functools.partial(self._released, self._open, reply))

    def _released(self, seen: Seen, reply: Reply, _: asyncio.Future[bool]) -> None:
        self._answer_later(seen, reply)

    def _answer_later(self, seen: Seen, reply: Reply) -> None:
        if reply.after_s > 0:
            asyncio.get_running_loop().call_later(reply.after_s, self._answer, seen, reply)
        else:
            self._answer(seen, reply)

    def _answer(self, seen: Seen, reply: Reply) -> None:
        if self._transport.is_closing():
            return
        self._open = None
        if reply.breaks:
            self._transport.abort()
        else:
            self._transport.write(reply.encode())
        self._site.note_end(seen, answered=True)


@contextlib.contextmanager
def running_site(otherwise: Reply | Script | None = None) -> Iterator[Site]:
    """Serve on a free port until the block ends; paths without a script are answered with ``otherwise``."""
    reply = otherwise or Reply(headers=GENEROUS_PACE)
    script = (lambda _: reply) if isinstance(reply, Reply) else reply
    with fresh_listener(backlog=1024) as listener:
        site = Site(listener.getsockname()[1], script)
        stop: Future[Callable[[], object]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(_serve(site, listener, stop)), name="site")
        thread.start()
        try:
            yield site
        finally:
            stop.result(PATIENCE_S)()
            thread.join(PATIENCE_S)


async def _serve(site: Site, listener: socket.socket, stop: "Future[Callable[[], object]]") -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    transports: set[asyncio.Transport] = set()
    server = await loop.create_server(lambda: _Connection(site, transports), sock=listener)
    stop.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
    await stopping.wait()
    # Each connection that is being accepted is a task, which fails untidily once the server is closed.
    while accepting := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*accepting)
    server.close()
    for transport in list(transports):
        transport.abort()
    while transports:  # noqa: ASYNC110  # asyncio tells nobody when its last transport is gone
        await asyncio.sleep(0)


def is_signed(webhook: Seen, secret: str) -> bool:
    """Tell whether one of a webhook's ``v1`` signatures was made with ``secret``."""
    header = webhook.headers.get("x-ezthrottle-signature", "")
    parts = [part.partition("=")[::2] for part in header.split(",")]
    stamp = next((value for name, value in parts if name == "t"), "")
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + webhook.body, hashlib.sha256).hexdigest()
    return any(name == "v1" and hmac.compare_digest(value, expected) for name, value in parts)
