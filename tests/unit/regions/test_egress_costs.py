"""Answers that cost much to read: what they take is bounded by the second, and nothing of them is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.domain.exchange import HttpRequest, HttpResponse
from regions.egress.client import AiohttpEgress
from regions.egress.reading_share import BURST_S, SHARE, ReadingShare

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Peer, Serve, Server

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def open_gate() -> None:
    """A gate that holds nobody back."""


async def fetch(client: AiohttpEgress, server: Server, path: str = "/", **request: Any) -> HttpResponse:
    whole = {"method": "GET", "url": server.url(path), **request}
    return await client.exchange(HttpRequest(**whole), open_gate)


async def test_a_large_body_in_chunks_of_one_byte_is_read_whole_and_asked_for_once(
    serve: Serve, egress: AiohttpEgress
) -> None:
    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            server.requests.append(request)
            await peer.send(CHUNKED)
            for _ in range(100):
                await peer.send(b"1\r\na\r\n" * 10_000)
            await peer.send(b"0\r\n\r\n")

    server = await serve(handler)
    answer = await fetch(egress, server, timeout_ms=600_000)

    assert (answer.body, answer.truncated, answer.incomplete) == (b"a" * 1_000_000, False, "")
    assert (await fetch(egress, server, timeout_ms=600_000)).incomplete == ""
    assert (len(server.requests), server.accepted) == (2, 1)


async def test_a_stream_of_thousands_of_tokens_is_read_whole(serve: Serve, egress: AiohttpEgress) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for number in range(20_000):
            token = b"data: %d\n\n" % number
            await peer.send(b"%x\r\n%b\r\n" % (len(token), token))
            if not number % 100:
                await asyncio.sleep(0)
        await peer.send(b"0\r\n\r\n")

    answer = await fetch(egress, await serve(handler), timeout_ms=600_000)

    assert answer.body == b"".join(b"data: %d\n\n" % number for number in range(20_000))
    assert answer.incomplete == ""


FLOODS = {
    "tiny chunks": (CHUNKED, b"1\r\na\r\n"),
    "a chunk extension that never ends": (CHUNKED + b"1;", b"a=b;"),
    "header lines": (b"HTTP/1.1 200 OK\r\n", b"a:\r\n"),
    "gzip members": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"\x1f\x8b\x08" + b"\0" * 7 + b"\3" + b"\0" * 9,
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_beside_answers_that_only_make_work_others_are_read_at_once(
    serve: Serve, egress: AiohttpEgress, flood: str
) -> None:
    head, part = FLOODS[flood]

    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            if b"/flood" not in request:
                await peer.answer()
                continue
            await peer.send(head)
            while True:
                await peer.send(part * 1_000)

    server = await serve(handler)
    floods = [asyncio.create_task(fetch(egress, server, "/flood", timeout_ms=60_000)) for _ in range(3)]
    for _ in range(20):
        assert (await fetch(egress, server)).body == b"ok"
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)
    await server.until_open(1, accepted=4)


async def test_what_only_makes_work_ends_with_its_status_when_its_time_is_over(
    serve: Serve, egress: AiohttpEgress
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"1;" + b"x" * 1_000)

    answer = await fetch(egress, await serve(handler), timeout_ms=500)
    assert (answer.status, answer.incomplete) == (200, "the time limit passed")


class Costly:
    """A reader whose every turn takes as much, and that has no end."""

    def __init__(self, share: ReadingShare, cost_s: float) -> None:
        self._share = share
        self._cost_s = cost_s
        self.turns = 0

    def take_turn(self) -> bool:
        self.turns += 1
        self._share.charge(self._cost_s)
        return True


async def test_costly_readers_share_a_part_of_each_second_evenly() -> None:
    loop = asyncio.get_running_loop()
    share = ReadingShare()
    readers = [Costly(share, 0.001) for _ in range(5)]
    began = loop.time()
    for reader in readers:
        share.line_up(reader)
    assert not share.admits()

    await asyncio.sleep(0.5)

    turns = [reader.turns for reader in readers]
    for reader in readers:
        share.leave(reader)
    assert 0 < sum(turns) * 0.001 <= BURST_S + SHARE * (loop.time() - began) + 0.001
    assert max(turns) - min(turns) <= 1
