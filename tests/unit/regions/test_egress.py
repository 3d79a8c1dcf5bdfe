"""What goes onto the wire, and what comes back from it."""

from __future__ import annotations

import base64
import gzip
import resource
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.domain.exchange import HttpRequest, HttpResponse
from regions.egress.client import AiohttpEgress
from regions.guard import AddressPolicy

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Peer, Serve, Server

MIB = 2**20


async def open_gate() -> None:
    """A gate that holds nobody back."""


@pytest.fixture
async def small() -> AsyncIterator[AiohttpEgress]:
    """A client that takes bodies of up to 1,000 bytes."""
    async with AiohttpEgress(AddressPolicy(allow_private=True), max_response_bytes=1_000) as client:
        yield client


async def fetch(client: AiohttpEgress, server: Server, **request: Any) -> HttpResponse:
    return await client.exchange(HttpRequest(**{"method": "GET", "url": server.url(), **request}), open_gate)


async def answering(serve: Serve, raw: bytes, *, then_close: bool = False) -> Server:
    """A server that answers every request with ``raw``."""

    async def handler(peer: Peer) -> None:
        while await peer.request():
            await peer.send(raw)
            if then_close:
                return

    return await serve(handler)


def plain(body: bytes, headers: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode("latin-1") + body


async def test_a_request_is_written_exactly_as_it_is_given(serve: Serve, egress: AiohttpEgress) -> None:
    server = await serve()
    headers = (
        ("x-LOWER-Upper", "1"),
        ("Authorization", "Bearer a"),
        ("X-Twice", "one"),
        ("accept", "text/plain, */*;q=0.1"),
        ("X-Twice", "two"),
        ("X-Empty", ""),
    )
    path = "/a/../b/./c;d=%7e?q=%zz&r=a+b|{}#fragment"
    await fetch(egress, server, method="post", url=server.url(path), headers=headers, body=b'{"a": 1}\xff')
    assert server.requests == [
        b"POST /a/../b/./c;d=%7e?q=%zz&r=a+b|{} HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"x-LOWER-Upper: 1\r\n"
        b"Authorization: Bearer a\r\n"
        b"X-Twice: one\r\n"
        b"accept: text/plain, */*;q=0.1\r\n"
        b"X-Twice: two\r\n"
        b"X-Empty: \r\n"
        b"Content-Length: 9\r\n"
        b"\r\n"
        b'{"a": 1}\xff'
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH"])
async def test_every_method_may_have_a_body(serve: Serve, egress: AiohttpEgress, method: str) -> None:
    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            server.requests.append(request)
            await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    server = await serve(handler)
    for _ in range(2):
        answer = await fetch(egress, server, method=method, body=b"payload")
        assert (answer.status, answer.body) == (204, b"")
    assert all(request.endswith(b"Content-Length: 7\r\n\r\npayload") for request in server.requests)
    assert server.accepted == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_request_without_a_body_announces_none(
    serve: Serve, egress: AiohttpEgress, method: str
) -> None:
    async def handler(peer: Peer) -> None:
        server.requests.append(await peer.request())
        await peer.answer(b"")

    server = await serve(handler)
    await fetch(egress, server, method=method)
    assert server.requests == [f"{method} / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()]


async def test_a_head_answer_has_the_headers_of_a_body_that_does_not_come(
    serve: Serve, egress: AiohttpEgress
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Encoding: gzip\r\n\r\n"
    server = await answering(serve, head)
    for _ in range(2):
        answer = await fetch(egress, server, method="HEAD")
        assert answer.headers == {"content-length": "99", "content-encoding": "gzip"}
        assert answer.body == b""
    assert server.accepted == 1


async def test_a_large_body_arrives_whole(serve: Serve, egress: AiohttpEgress) -> None:
    server = await serve()
    body = bytes(range(256)) * (3 * MIB // 256)
    await fetch(egress, server, method="POST", body=body)
    head, _, received = server.requests[0].partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert received == body


async def test_a_body_does_not_wait_for_a_server_that_never_says_continue(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve()
    answer = await fetch(egress, server, method="PUT", body=b"now", headers=(("Expect", "100-continue"),))
    assert answer.status == 200
    assert b"Expect: 100-continue" in server.requests[0]


async def test_userinfo_becomes_basic_authorization_unless_there_is_one(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve()
    url = server.url("/x?y=%41", host="user:p%40ss@127.0.0.1")
    await fetch(egress, server, url=url)
    await fetch(egress, server, url=url, headers=(("authorization", "Bearer b"),))
    basic = base64.b64encode(b"user:p@ss")
    assert b"Authorization: Basic " + basic in server.requests[0]
    assert b"authorization: Bearer b" in server.requests[1]
    assert b"Basic" not in server.requests[1]
    assert all(request.startswith(b"GET /x?y=%41 HTTP") for request in server.requests)


@pytest.mark.parametrize(
    ("userinfo", "sent"),
    [
        ("u:p%C3%A4ss", "u:päss".encode()),
        ("u:p%E2%82%ACss", "u:p€ss".encode()),
        ("us%C3%A9r", "usér:".encode()),
        (":p", b":p"),
        ("u%40d:1%3d2%3f", b"u@d:1=2?"),
        ("u:p:q", b"u:p:q"),
        ("a@b:c", b"a@b:c"),
        ("u:%ff", b"u:\xff"),
    ],
)
async def test_credentials_in_a_url_go_as_the_utf_8_that_they_are(
    serve: Serve, egress: AiohttpEgress, userinfo: str, sent: bytes
) -> None:
    server = await serve()
    await fetch(egress, server, url=server.url("/", host=f"{userinfo}@127.0.0.1"))
    assert b"Authorization: Basic " + base64.b64encode(sent) + b"\r\n" in server.requests[0]
    assert b"@" not in server.requests[0]


async def test_redirects_are_not_followed_and_cookies_not_kept(serve: Serve, egress: AiohttpEgress) -> None:
    elsewhere = await serve()

    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            server.requests.append(request)
            await peer.answer(
                status="302 Found",
                headers=f"Location: {elsewhere.url()}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
            )

    server = await serve(handler)
    for _ in range(2):
        answer = await fetch(egress, server)
        assert answer.status == 302
        assert answer.headers["set-cookie"] == "a=1\nb=2"
    assert elsewhere.accepted == 0
    assert b"ookie" not in server.requests[1]


async def test_the_environments_proxy_is_not_used(
    serve: Serve, egress: AiohttpEgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = await serve(), await serve()
    monkeypatch.setenv("HTTP_PROXY", proxy.url())
    monkeypatch.setenv("http_proxy", proxy.url())
    assert (await fetch(egress, server)).status == 200
    assert proxy.accepted == 0


async def test_answer_headers_are_lower_case_joined_and_free_of_lone_surrogates(
    serve: Serve, egress: AiohttpEgress
) -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  2 \r\nX-Utf8: caf\xc3\xa9\r\nX-Latin: caf\xe9 \xff\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    answer = await fetch(egress, await answering(serve, raw))
    assert answer.headers == {"x-a": "1, 2", "x-utf8": "café", "x-latin": "café ÿ", "content-length": "0"}
    assert "".join(answer.headers.values()).encode()


async def test_lines_about_pace_that_come_twice_are_shown_joined_and_handed_on_apart(
    serve: Serve, egress: AiohttpEgress
) -> None:
    raw = (
        b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nVia: a\r\nretry-after: 2\r\nVia: b\r\n"
        b"X-RateLimit-Limit: 5\r\nX-RATELIMIT-LIMIT: 5\r\nX-Aquifer-RPS: 3\r\nRETRY-AFTER: 3\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await fetch(egress, await answering(serve, raw))
    assert answer.headers["retry-after"] == "7, 2, 3"
    assert (answer.headers["via"], answer.headers["set-cookie"]) == ("a, b", "a=1\nb=2")
    assert answer.repeated == {"retry-after": "7\n2\n3", "x-ratelimit-limit": "5\n5"}
    assert answer.lines_apart["x-aquifer-rps"] == "3"


async def test_interim_answers_are_passed_over(serve: Serve, egress: AiohttpEgress) -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + plain(b"end")
    assert (await fetch(egress, await answering(serve, raw))).body == b"end"


async def test_a_connection_that_was_upgraded_is_closed(serve: Serve, egress: AiohttpEgress) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nmore")
        await peer.eof()

    server = await serve(handler)
    assert (await fetch(egress, server)).status == 101
    await server.until_open(0)


async def test_a_body_may_be_chunked_or_end_with_the_connection(serve: Serve, egress: AiohttpEgress) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert (await fetch(egress, await answering(serve, chunked))).body == b"abcde"
    closing = await answering(serve, b"HTTP/1.1 200 OK\r\n\r\nabcde", then_close=True)
    assert (await fetch(egress, closing)).body == b"abcde"


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("coding", "coded"),
    [
        ("gzip", gzip.compress(b"hello " * 20, mtime=0)),
        ("X-GZIP", gzip.compress(b"hello " * 20, mtime=0)),
        ("gzip", gzip.compress(b"hello " * 5, mtime=0) + gzip.compress(b"hello " * 15, mtime=0)),
        ("gzip", gzip.compress(b"hello " * 20, mtime=0) + b"\x00\x00 padding"),
        ("deflate", zlib.compress(b"hello " * 20)),
        ("deflate", raw_deflate(b"hello " * 20)),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_a_coded_body_is_decoded(
    serve: Serve, egress: AiohttpEgress, coding: str, coded: bytes, piece: int
) -> None:
    pieces = [coded[start : start + piece] for start in range(0, len(coded), piece)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = f"HTTP/1.1 200 OK\r\nX: y\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def handler(peer: Peer) -> None:
        await peer.request()
        for byte in (head.encode(), *(chunks[start : start + 1] for start in range(len(chunks)))):
            await peer.send(byte)
        await peer.eof()

    answer = await fetch(egress, await serve(handler))
    assert answer.body == b"hello " * 20
    assert answer.headers == {"x": "y", "transfer-encoding": "chunked"}


async def test_decoding_leaves_no_header_that_describes_the_coded_body(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await answering(serve, plain(gzip.compress(b"hello"), "Content-Encoding: gzip\r\nX: y\r\n"))
    answer = await fetch(egress, server)
    assert (answer.body, answer.headers) == (b"hello", {"x": "y"})


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"not coded at all"),
        ("gzip", b"n"),
        ("gzip", b""),
        ("br", b"\x0b\x02\x80hello\x03"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"hello", mtime=0), mtime=0)),
        ("identity", b"hello"),
    ],
)
async def test_a_body_in_no_known_coding_is_handed_on_as_it_is(
    serve: Serve, egress: AiohttpEgress, coding: str, body: bytes
) -> None:
    answer = await fetch(egress, await answering(serve, plain(body, f"Content-Encoding: {coding}\r\n")))
    assert answer.body == body
    assert answer.headers["content-encoding"] == coding
    assert answer.headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"hello", mtime=0)[:-4], gzip.compress(b"hello" * 9, mtime=0)[:12] + b"\xff" * 20],
)
async def test_a_damaged_coded_body_is_marked_and_leaves_the_connection_usable(
    serve: Serve, egress: AiohttpEgress, body: bytes
) -> None:
    answers = [plain(body, "Content-Encoding: gzip\r\n"), plain(b"fine")]

    async def handler(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answers.pop(0))

    server = await serve(handler)
    answer = await fetch(egress, server)
    assert (answer.status, answer.incomplete) == (200, "the answer's content coding is damaged")
    assert (await fetch(egress, server)).body == b"fine"
    assert server.accepted == 1


async def test_a_body_of_just_the_limit_is_whole(serve: Serve, small: AiohttpEgress) -> None:
    server = await answering(serve, plain(b"x" * 1_000))
    for _ in range(2):
        answer = await fetch(small, server)
        assert (len(answer.body), answer.truncated) == (1_000, False)
    assert server.accepted == 1


async def test_a_longer_body_is_cut_and_its_connection_closed(serve: Serve, small: AiohttpEgress) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x" * MIB)
        await peer.eof()

    server = await serve(handler)
    answer = await fetch(small, server)
    assert (answer.body, answer.truncated, answer.status) == (b"x" * 1_000, True, 200)
    await server.until_open(0)


async def test_the_limit_holds_for_the_decoded_body(serve: Serve, small: AiohttpEgress) -> None:
    server = await answering(serve, plain(gzip.compress(b"x" * 1_001), "Content-Encoding: gzip\r\n"))
    answer = await fetch(small, server)
    assert (answer.body, answer.truncated) == (b"x" * 1_000, True)


async def test_a_coded_body_that_goes_on_without_saying_anything_is_cut(
    serve: Serve, small: AiohttpEgress
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello"))
        while True:
            await peer.send(b"padding " * 100)

    server = await serve(handler)
    answer = await fetch(small, server)
    assert (answer.body, answer.truncated) == (b"hello", True)
    await server.until_open(0)


async def test_thousands_of_empty_gzip_members_are_not_all_taken_apart(
    serve: Serve, egress: AiohttpEgress
) -> None:
    empty = gzip.compress(b"")
    server = await answering(serve, plain(empty * 5_000, "Content-Encoding: gzip\r\n"))
    answer = await fetch(egress, server)
    assert (answer.body, answer.incomplete) == (b"", "the answer's content coding is damaged")


def bomb(mebibytes: int) -> bytes:
    deflater = zlib.compressobj(9, wbits=31)
    return b"".join(deflater.compress(bytes(MIB)) for _ in range(mebibytes)) + deflater.flush()


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_decompression_bomb_costs_little_memory(
    serve: Serve, egress: AiohttpEgress, layers: int
) -> None:
    coded = bomb(200) if layers == 1 else gzip.compress(bomb(200))
    server = await answering(serve, plain(coded, "Content-Encoding: gzip\r\n"))
    await fetch(egress, await serve())
    before = peak_kib()
    answer = await fetch(egress, server)
    assert answer.truncated is (layers == 1)
    assert peak_kib() - before < 60 * 1024
