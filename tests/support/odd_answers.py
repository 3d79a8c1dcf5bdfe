"""Answers that are not as they should be, though their status line is: what servers were seen to send."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Then(Enum):
    """What the server does behind its answer."""

    WAIT = auto()
    CLOSE = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """An answer as it stands on the wire, and what is to be read of it.

    ``whole``: nothing of it is missing. ``cut``: header lines are. ``body`` is what a GET or POST gets.
    """

    wire: bytes
    then: Then = Then.WAIT
    status: int = 200
    body: bytes = b""
    whole: bool = True
    cut: bool = False

    @property
    def head_is_whole(self) -> bool:
        """Whether the answer to a HEAD request, which has no body, is all there."""
        return b"\r\n\r\n" in self.wire


def _ok(*lines: bytes, body: bytes = b"ok") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"Content-Length: %d" % len(body), b"", body))


def _chunked(chunks: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"Transfer-Encoding: chunked", b"", chunks))


_GZIPPED = gzip.compress(b"hello" * 9, mtime=0)

GOOD_ENOUGH: dict[str, Odd] = {
    "129 header lines": Odd(wire=_ok(*(b"X-%d: v" % n for n in range(129))), body=b"ok"),
    "300 cookies": Odd(wire=_ok(*(b"Set-Cookie: c%d=v" % n for n in range(300))), body=b"ok"),
    "a line of 20 KiB": Odd(wire=_ok(b"X-Long: " + b"a" * 20_480), body=b"ok"),
    "a megabyte of header lines": Odd(
        wire=_ok(*(b"X-%d: %b" % (n, b"v" * 1_000) for n in range(1_000))), body=b"ok", cut=True
    ),
    "a line of a megabyte": Odd(wire=_ok(b"X-Long: " + b"a" * 2**20), body=b"ok", cut=True),
    "50,000 short lines": Odd(wire=_ok(*(b"a:" for _ in range(50_000))), body=b"ok", cut=True),
    "a status line of a megabyte": Odd(wire=b"HTTP/1.1 200 " + b"x" * 2**20 + _ok()[15:], body=b"ok"),
    "a 204 with a body": Odd(wire=b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", status=204),
    "a 304 with a body": Odd(wire=b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", status=304),
    "a length of nothing, and a body": Odd(wire=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nnull"),
    "a length that is too short": Odd(
        wire=b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id": "n\xc3\xa9"}', body=b'{"id": "n\xc3\xa9"'
    ),
    "something behind the last chunk": Odd(wire=_chunked(b"2\r\nok\r\n0\r\n\r\nmore"), body=b"ok"),
    "an empty line behind the answer": Odd(wire=_ok() + b"\r\n", body=b"ok"),
    "a second answer behind it": Odd(
        wire=_ok() + b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", body=b"ok"
    ),
    "one length twice": Odd(wire=_ok(b"Content-Length: 2"), body=b"ok"),
    "one length twice in a line": Odd(wire=b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", body=b"ok"),
    "a space before a colon": Odd(wire=_ok(b"X-A : b"), body=b"ok"),
    "a space before the length's colon": Odd(
        wire=b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", body=b"ok"
    ),
    "a space in a name": Odd(wire=_ok(b"X A: b"), body=b"ok"),
    "a line without a colon": Odd(wire=_ok(b"nonsense"), body=b"ok"),
    "a line without a name": Odd(wire=_ok(b": v"), body=b"ok"),
    "a folded line": Odd(wire=_ok(b"X-A: b", b"\tc"), body=b"ok"),
    "a fold with nothing before it": Odd(wire=_ok(b" folded"), body=b"ok"),
    "a null byte in a value": Odd(wire=_ok(b"X-A: a\x00b"), body=b"ok"),
    "a control byte in a value": Odd(wire=_ok(b"Set-Cookie: a=\x01"), body=b"ok"),
    "bare line feeds": Odd(wire=_ok().replace(b"\r\n", b"\n"), body=b"ok"),
    "HTTP/1.2": Odd(wire=_ok().replace(b"1.1", b"1.2"), body=b"ok"),
    "HTTP/2": Odd(wire=_ok().replace(b"HTTP/1.1", b"HTTP/2"), body=b"ok"),
    "HTTP/9.9": Odd(wire=_ok().replace(b"1.1", b"9.9"), body=b"ok"),
    "HTTP/1.0": Odd(wire=_ok().replace(b"1.1", b"1.0"), body=b"ok"),
    "no reason": Odd(wire=_ok().replace(b" OK", b""), body=b"ok"),
    "a reason in Cyrillic": Odd(wire=_ok().replace(b"OK", "Да".encode()), body=b"ok"),
    "no header at all": Odd(wire=b"HTTP/1.1 200 OK\r\n\r\nok", then=Then.CLOSE, body=b"ok"),
    "a length beside chunks": Odd(wire=_chunked(b"2\r\nok\r\n0\r\n\r\n", b"Content-Length: 5"), body=b"ok"),
    "a transfer coding that is no last chunked": Odd(
        wire=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok", then=Then.CLOSE, body=b"ok"
    ),
    "a transfer coding that is none": Odd(wire=_ok(b"Transfer-Encoding: identity"), body=b"ok"),
    "spaces behind a chunk's size": Odd(wire=_chunked(b"2  \r\nok\r\n0\r\n\r\n"), body=b"ok"),
    "chunks with extensions": Odd(wire=_chunked(b"2;a=b\r\nok\r\n0;c\r\n\r\n"), body=b"ok"),
    "trailers": Odd(wire=_chunked(b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"), body=b"ok"),
    "interim answers before it": Odd(
        wire=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _ok(), body=b"ok"
    ),
    "empty lines before it": Odd(wire=b"\r\n\r\n" + _ok(), body=b"ok"),
    "gzip said, and plain sent": Odd(wire=_ok(b"Content-Encoding: gzip"), body=b"ok"),
    "a status of 999": Odd(wire=b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n", status=999),
}

CUT_SHORT: dict[str, Odd] = {
    "closed within the header": Odd(wire=b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-", then=Then.CLOSE, whole=False),
    "reset within the header": Odd(wire=b"HTTP/1.1 200 OK\r\nX-A: b\r\n", then=Then.RESET, whole=False),
    "reset behind the status line": Odd(wire=b"HTTP/1.1 200 OK\r\n", then=Then.RESET, whole=False),
    "closed before its length": Odd(
        wire=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        then=Then.CLOSE,
        body=b"short",
        whole=False,
    ),
    "reset before its length": Odd(
        wire=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        then=Then.RESET,
        body=b"short",
        whole=False,
    ),
    "reset where the end of the connection would be its end": Odd(
        wire=b"HTTP/1.1 200 OK\r\n\r\nshort", then=Then.RESET, body=b"short", whole=False
    ),
    "closed within a chunk": Odd(wire=_chunked(b"5\r\nab"), then=Then.CLOSE, body=b"ab", whole=False),
    "closed before the last chunk": Odd(
        wire=_chunked(b"2\r\nab\r\n"), then=Then.CLOSE, body=b"ab", whole=False
    ),
    "a chunk's size that is none": Odd(wire=_chunked(b"2\r\nab\r\nzz\r\n"), body=b"ab", whole=False),
    "a negative chunk": Odd(wire=_chunked(b"-1\r\na\r\n0\r\n\r\n"), whole=False),
    "a chunk too large for any number": Odd(wire=_chunked(b"F" * 19 + b"\r\naaa"), whole=False),
    "two lengths": Odd(
        wire=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", whole=False
    ),
    "a negative length": Odd(wire=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort", whole=False),
    "a length of 40 digits": Odd(
        wire=b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\nshort", whole=False
    ),
    "gzip that ends too early": Odd(
        wire=_ok(b"Content-Encoding: gzip", body=_GZIPPED[:-4]), body=b"hello" * 9, whole=False
    ),
    "gzip that is damaged": Odd(
        wire=_ok(b"Content-Encoding: gzip", body=_GZIPPED[:10] + b"\xff" * 20), whole=False
    ),
    "a damaged 404": Odd(
        wire=b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno",
        then=Then.CLOSE,
        status=404,
        body=b"no",
        whole=False,
    ),
}
"""The status line was read, and not all of the rest can be."""

STALLED: dict[str, Odd] = {
    "stalled within the header": Odd(wire=b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-", whole=False),
    "stalled before its length": Odd(
        wire=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno", body=b"no", whole=False
    ),
    "stalled within a chunk": Odd(wire=_chunked(b"5\r\nab"), body=b"ab", whole=False),
}
"""The rest never comes, and the connection stays open."""

NO_ANSWER: dict[str, tuple[bytes, Then]] = {
    "closed at once": (b"", Then.CLOSE),
    "reset at once": (b"", Then.RESET),
    "half a status line": (b"HTTP/1.1 200", Then.CLOSE),
    "an interim answer only": (b"HTTP/1.1 103 Early Hints\r\n\r\n", Then.CLOSE),
    "another protocol": (b"SMTP ready\r\n\r\n", Then.WAIT),
    "a status of 000": (b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n", Then.WAIT),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", Then.WAIT),
    "a body without a head": (b"<html>\r\n\r\n", Then.WAIT),
}
"""No status line: nobody has answered."""


def all_answered() -> Iterator[tuple[str, Odd]]:
    """Every answer with a status line that comes to its end by itself."""
    yield from GOOD_ENOUGH.items()
    yield from CUT_SHORT.items()
