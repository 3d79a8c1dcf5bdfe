"""Where an answer's body ends: after a length, with its last chunk, or with the connection (RFC 9112, section
6).
"""

from http import HTTPStatus
from typing import Protocol

from httptools import HttpParserError, HttpResponseParser

from regions.egress.head import HeadReader

_LENGTH_DIGITS_MOST = 18
_NO_CODING = (b"", b"identity")
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Framing(Protocol):
    """Takes a body off the wire. ``over``: it has ended. ``excess``: something lies behind its end.
    ``trouble`` says, once that is so, why nobody can tell where it goes on or ends.
    """

    over: bool
    excess: bool
    trouble: str

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is how the body ends."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in ``data``."""


def framing_of(head: HeadReader, *, asked_head: bool) -> Framing:
    """Say how the body behind ``head`` ends; ``asked_head``: it answers a HEAD request."""
    if asked_head or head.status in (
        HTTPStatus.SWITCHING_PROTOCOLS,
        HTTPStatus.NO_CONTENT,
        HTTPStatus.NOT_MODIFIED,
    ):
        return Sized(0)
    codings = head.framing(b"transfer-encoding")
    if codings and (last := codings[-1].rpartition(b",")[2].strip().lower()) not in _NO_CODING:
        return Chunked() if last == b"chunked" else UntilClosed()
    lengths = {length.strip() for line in head.framing(b"content-length") for length in line.split(b",")}
    if not lengths:
        return UntilClosed()
    if len(lengths) > 1:
        return Unreadable("the answer states two lengths")
    length = lengths.pop()
    if not length.isdigit() or len(length) > _LENGTH_DIGITS_MOST:
        return Unreadable("the length that the answer states is none")
    return Sized(int(length))


def keeps_connection(head: HeadReader) -> bool:
    """Whether the server takes another request after this answer (RFC 9112, section 9.3), and where that
    answer begins is beyond doubt.
    """
    lengths, codings = head.framing(b"content-length"), head.framing(b"transfer-encoding")
    if head.odd or (codings and lengths) or head.status == HTTPStatus.SWITCHING_PROTOCOLS:
        return False
    if head.status == HTTPStatus.NO_CONTENT and (codings or any(length != b"0" for length in lengths)):
        return False
    connection = head.framing(b"connection")
    if not connection:
        return head.is_http_1_1
    options = {option.strip() for line in connection for option in line.lower().split(b",")}
    return b"close" not in options and (head.is_http_1_1 or b"keep-alive" in options)


class Sized:
    """A body of a known length, in bytes."""

    ends_with_connection = False
    trouble = ""

    def __init__(self, length: int) -> None:
        self._left = length
        self.over = not length
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body."""
        if len(data) <= self._left:
            self._left -= len(data)
            self.over = not self._left
            return data
        body = data[: self._left]
        self._left, self.over, self.excess = 0, True, True
        return body


class UntilClosed:
    """A body that ends with its connection."""

    ends_with_connection = True
    over = False
    excess = False
    trouble = ""

    def feed(self, data: bytes) -> bytes:
        """All of it is the body."""
        return data


class Unreadable:
    """A body whose end nobody can know: none of it is taken."""

    ends_with_connection = False
    over = False
    excess = False

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble

    def feed(self, _: bytes) -> bytes:
        """Take nothing."""
        return b""


class Chunked:
    """A body in chunks, taken apart by llhttp. That parser is shown a head of our own making: the answer's
    own was read by then.
    """

    ends_with_connection = False

    def __init__(self) -> None:
        self.over = False
        self.excess = False
        self.trouble = ""
        self._arrived = bytearray()
        # Called for every chunk, and a body may come in millions of them: a method written in C.
        self.on_body = self._arrived.extend
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True,
            lenient_optional_crlf_after_chunk=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._parser.feed_data(_CHUNKED_HEAD)

    def on_message_begin(self) -> None:
        """A second message in the parser's eyes is something behind the end of the first."""
        self.excess = self.over

    def on_message_complete(self) -> None:
        """The last chunk was read."""
        self.over = True

    def feed(self, data: bytes) -> bytes:
        """Take the chunks' marks out."""
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.excess = self.over
            self.trouble = "" if self.over else "the chunks of the answer can't be read"
        body = bytes(self._arrived)
        self._arrived.clear()
        return body
