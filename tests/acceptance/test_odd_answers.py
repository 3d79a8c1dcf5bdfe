"""Targets and receivers whose answers are odd, from outside: each is asked once, and its answer counts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from bench.loopback import GENEROUS_PACE
from bench.ports import fresh_listener
from tests.support.odd_answers import STALLED, Odd, Then, all_answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Api

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

RESET = struct.pack("ii", 1, 0)
ODD = dict(all_answered()) | STALLED
KINDS: dict[str, dict[str, Any]] = {
    "get": {},
    "post": {"method": "POST", "body": "{}"},
    "head": {"method": "HEAD"},
    "once": {"method": "POST", "body": "{}", "guarantee": "at_most_once"},
    "race": {"method": "POST", "body": "{}", "regions": ["iad", "lax"]},
}
TOKENS = 100_000
LARGE = 5 * 1024 * 1024


class RawSite:
    """A site that answers ``/NAME/KIND`` with the odd answer of that name, byte by byte as it stands."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.port = 0
        self.loop: asyncio.AbstractEventLoop
        self.writers: set[asyncio.StreamWriter] = set()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.writers.discard(writer)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode()
        _, _, length = head.lower().partition(b"content-length:")
        await reader.readexactly(int(length.split()[0]) if length else 0)
        self.counts[path] += 1
        name = path.split("/")[1].replace("%20", " ").replace("%27", "'").replace("%2C", ",")
        if name == "tokens":
            await self._tokens(writer)
        elif name == "bytes":
            await self._bytes(writer)
        elif name in ODD:
            return await self._odd(writer, ODD[name])
        else:
            lines = "".join(f"{header}: {value}\r\n" for header, value in GENEROUS_PACE.items())
            writer.write(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok".encode())
        await writer.drain()
        return True

    async def _odd(self, writer: asyncio.StreamWriter, odd: Odd) -> bool:
        writer.write(odd.wire)
        await writer.drain()
        if odd.then is Then.RESET:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return odd.then is Then.WAIT

    async def _tokens(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(TOKENS):
            writer.write(b"4\r\ntok \r\n")
            if number % 50 == 0:
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    async def _bytes(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(LARGE // 1_024):
            writer.write(b"1\r\nx\r\n" * 1_024)
            await writer.drain()
        writer.write(b"0\r\n\r\n")


@pytest.fixture
def raw() -> Iterator[RawSite]:
    """A raw site, on a thread of its own."""
    site, ready, over = RawSite(), threading.Event(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(site.connected, sock=fresh_listener(1_000))
        site.port = server.sockets[0].getsockname()[1]
        site.loop = asyncio.get_running_loop()
        ready.set()
        await over.wait()
        server.close()
        for writer in list(site.writers):
            writer.transport.abort()
        while site.writers:  # noqa: ASYNC110  # their handlers end within the next rounds of this loop
            await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait()
    yield site
    site.loop.call_soon_threadsafe(over.set)
    thread.join()


def open_gate(api: Api, raw: RawSite) -> None:
    """Let the target name a high pace."""
    assert api.run(url=raw.url("/opens-the-gate"))["state"] == "success"


def check(shown: dict[str, Any], odd: Odd, kind: str) -> None:
    response = shown["result"]["response"]
    assert shown["state"] == ("success" if 200 <= odd.status < 300 else "failed"), shown
    assert response["status_code"] == odd.status
    assert response.get("headers_truncated", False) is odd.cut
    assert ("incomplete" not in response) == (odd.whole or (kind == "head" and odd.head_is_whole)), response


def test_every_odd_answer_ends_its_job_whatever_the_kind_and_is_asked_for_once(
    api: Api, raw: RawSite
) -> None:
    open_gate(api, raw)
    submitted = {
        (name, kind): api.submit(
            url=raw.url(f"/{name.replace(' ', '%20')}/{kind}"), timeout_ms=6_000, **KINDS[kind]
        )
        for name in ODD
        for kind in KINDS
    }

    for (name, kind), job in submitted.items():
        check(api.ended(job["job_id"]), ODD[name], kind)

    more_than_once = {path: n for path, n in raw.counts.items() if n > 1 and not path.endswith("/race")}
    assert more_than_once == {}
    assert max(raw.counts.values()) <= 2


def test_a_receiver_that_answered_with_a_success_is_told_once(api: Api, raw: RawSite) -> None:
    open_gate(api, raw)
    names = [name for name, odd in ODD.items() if odd.status == 200]
    webhooks = [{"url": raw.url(f"/{name.replace(' ', '%20')}/hook")} for name in names]
    for some in (webhooks[start : start + 20] for start in range(0, len(webhooks), 20)):
        job = api.submit(url=raw.url("/job"), method="POST", body=some[0]["url"], webhooks=some)
        shown = api.delivered(job["job_id"])
        assert shown["delivery"] == "delivered"

    assert {raw.counts[path] for path in raw.counts if path.endswith("/hook")} == {1}


@pytest.mark.parametrize(("path", "body"), [("/tokens", "tok " * TOKENS), ("/bytes", "x" * LARGE)])
def test_a_long_answer_in_very_many_pieces_is_delivered_whole_and_asked_for_once(
    api: Api, raw: RawSite, path: str, body: str
) -> None:
    response = api.run(url=raw.url(path), method="POST", timeout_ms=60_000)["result"]["response"]

    assert response["body"] == body
    assert not {"truncated", "incomplete"} & response.keys()
    assert raw.counts[path] == 1
