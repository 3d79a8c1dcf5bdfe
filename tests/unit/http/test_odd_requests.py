"""What clients send that no client should, over real sockets: nothing of it is answered with a 5xx, nothing
goes wrong within, and the next one is served.
"""

import contextlib
import logging
import socket
from collections.abc import Iterator

import pytest

from tests.unit.http.gateway import JOBS, KEY
from tests.unit.http.served_thread import LOOPS, served_in_thread
from tests.unit.http.test_answered_early import received
from tests.unit.http.test_serving import LOOPBACK

GET = b"GET /healthz HTTP/1.1\r\nhost: service\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nhost: service\r\nconnection: close\r\n\r\n"
BODY = b'{"url": "http://203.0.113.7/"}'
AUTHORIZED = b"host: service\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"
POST = b"POST " + JOBS.encode() + b" HTTP/1.1\r\n" + AUTHORIZED
WITH_BODY = POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKS = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(BODY), BODY)
UPGRADE = b"connection: Upgrade\r\nupgrade: "

REFUSED = [[400], [404], [405]]
ANSWERED: dict[str, tuple[bytes, list[list[int]]]] = {
    "pipelined": (GET * 3 + WITH_BODY + LAST, [[200, 200, 200, 200, 200]]),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [[200]]),
    "HTTP/1.0 that would stay": (b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", [[200]]),
    "chunked with trailers": (POST + CHUNKS + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n" + LAST, [[200, 200]]),
    "chunks with extensions": (
        POST + b"transfer-encoding: chunked\r\n\r\n1e;a=b\r\n" + BODY + b"\r\n0\r\n\r\n" + LAST,
        [[200, 200]],
    ),
    "websocket": (b"GET /healthz HTTP/1.1\r\nhost: s\r\n" + UPGRADE + b"websocket\r\n\r\n", [[200]]),
    "websocket to a job": (
        b"GET " + JOBS.encode() + b" HTTP/1.1\r\n" + AUTHORIZED + UPGRADE + b"websocket\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        [[200]],
    ),
    "h2c": (GET[:-2] + UPGRADE + b"h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", [[200]]),
    "h2c with a body": (POST + UPGRADE + b"h2c\r\ncontent-length: 30\r\n\r\n" + BODY, [[200]]),
    "upgrade, then frames": (GET[:-2] + UPGRADE + b"websocket\r\n\r\n\x81\x85abcd", [[200]]),
    "empty lines first": (b"\r\n\r\n" + LAST, [[200]]),
    "absolute target": (
        b"GET http://service/healthz HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n",
        [[200]],
    ),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nhost: service\r\nconnection: close\r\n\r\n", REFUSED),
    "no host": (b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n", [[200]]),
    "CONNECT": (b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example\r\n\r\n", REFUSED),
    "CONNECT without a port": (b"CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "a URL that is none": (b"GET http://[ HTTP/1.1\r\nhost: a\r\n\r\n", [[400]]),
    "a URL that is none, upgraded": (b"GET http://[ HTTP/1.1\r\n" + UPGRADE + b"websocket\r\n\r\n", [[400]]),
    "a path that is no text": (b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", REFUSED),
    "a path of escapes": (b"GET /%ff%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", [[404]]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [[400]]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [[400]]),
    "nothing like it": (b"hello?\r\n\r\n", [[400]]),
    "a length that is none": (POST + b"content-length: twelve\r\n\r\n", [[400]]),
    "two lengths": (POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", [[400]]),
    "length and chunks": (POST + b"content-length: 3\r\n" + CHUNKS + b"0\r\n\r\n", [[400]]),
    "a chunk's size that is none": (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", [[400]]),
    "garbage behind a request": (LAST + b"\x00\x01\x02", [[200], [400]]),
    "a request behind the last": (LAST + GET, [[200]]),
}
HALF_CLOSED: dict[str, tuple[bytes, list[list[int]]]] = {
    "a request": (GET, [[200]]),
    "three requests": (GET * 3, [[200] * 3]),
    "a submission": (WITH_BODY, [[200]]),
    "half a head": (GET[:20], [[400]]),
    "half a body": (POST + b"content-length: 100\r\n\r\n{", [[400]]),
    "half a body, chunked": (POST + CHUNKS, [[400]]),
    "half a second head": (GET + GET[:20], [[200, 400], [400]]),
    "a length and no body": (POST + b"content-length: 100\r\n\r\n", [[400]]),
    "nothing": (b"", [[]]),
}


@pytest.fixture(params=LOOPS)
def port(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[int]:
    """Serve; at last see that the service is well, and that nothing went wrong in it."""
    with served_in_thread(request.param) as served:
        yield served.port
        assert statuses(said(served.port, LAST)) == [200]
    assert served.wrong == []
    wrong = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not wrong, [record.getMessage() for record in wrong]


def said(port: int, raw: bytes, *, half_closed: bool = False, piece: int = 0) -> bytes:
    """Send bytes, in pieces of a size, and read to the end."""
    with socket.create_connection((LOOPBACK, port), timeout=20) as line:
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(raw), piece or len(raw) or 1):
                line.sendall(raw[at : at + (piece or len(raw))])
            if half_closed:
                line.shutdown(socket.SHUT_WR)
        return received(line)


def statuses(answers: bytes) -> list[int]:
    """List the answers; a job that is taken is 200 too, as it is when it comes again."""
    found = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    return [200 if status == 202 else status for status in found]


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_an_odd_request_is_answered_and_hurts_nobody(port: int, piece: int) -> None:
    for name, (raw, wanted) in ANSWERED.items():
        answered = statuses(said(port, raw, piece=piece))
        assert answered in wanted, name


def test_who_says_no_more_still_gets_the_answer(port: int) -> None:
    for name, (raw, wanted) in HALF_CLOSED.items():
        assert statuses(said(port, raw, half_closed=True)) in wanted, name


def test_who_resets_in_the_middle_is_forgotten(port: int) -> None:
    for raw, _ in (ANSWERED | HALF_CLOSED).values():
        for at in (1, len(raw) // 2, len(raw)):
            with socket.create_connection((LOOPBACK, port), timeout=20) as line:
                # On, and no time to linger: to close is to reset.
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                line.sendall(raw[:at])
