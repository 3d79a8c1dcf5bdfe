"""Reading the body of an answer: its coding undone, its size bounded after that."""

import zlib
from enum import Enum, auto

_GZIP_CODINGS = ("gzip", "x-gzip")
_CODINGS = (*_GZIP_CODINGS, "deflate")
_GZIP_MAGIC = b"\x1f\x8b"
_SNIFFED_BYTES = len(_GZIP_MAGIC)
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15
_MAX_MEMBERS = 1_000
INFLATES_TIMES = 1_032
"""What deflate makes of a byte at most (zlib.net/zlib_tech.html)."""


class _BrokenCodingError(Exception):
    """The coded body is damaged or ends too early."""


class BodyCollector:
    """Collects a body of up to ``limit`` bytes, undoing ``coding`` where it is gzip or deflate.

    What arrives has the same limit, for a coded body may go on for ever without saying anything.
    ``truncated`` says that a limit was reached, ``damaged`` that the coding can't be undone any further: what
    was decoded until then stays.
    """

    def __init__(self, coding: str, limit: int) -> None:
        self._decoder = _Decoder(coding)
        self._limit = limit
        self._received = 0
        self.content = bytearray()
        self.truncated = False
        self.damaged = False

    @property
    def coded(self) -> bool:
        """Whether what comes is to be decoded."""
        return self._decoder.coded

    @property
    def decoded(self) -> bool:
        """Whether a content coding was undone."""
        return self._decoder.decoded

    def feed(self, chunk: bytes) -> None:
        """Take a part of the body."""
        self._received += len(chunk)
        if not self.damaged:
            try:
                self.content += self._decoder.feed(chunk, self._limit + 1 - len(self.content))
            except _BrokenCodingError:
                self.damaged = True
        if len(self.content) > self._limit or self._received > self._limit:
            del self.content[self._limit :]
            self.truncated = True

    def finish(self) -> None:
        """The body has ended."""
        if not self.damaged:
            try:
                self.content += self._decoder.finish()
            except _BrokenCodingError:
                self.damaged = True


class _State(Enum):
    SNIFFING = auto()
    INFLATING = auto()
    PASSING = auto()
    ENDED = auto()


class _Decoder:
    """Undoes one coding, a chunk at a time; what turns out not to be coded after all passes as it is."""

    def __init__(self, coding: str) -> None:
        coding = coding.strip().lower()
        self._is_gzip = coding in _GZIP_CODINGS
        self._state = _State.SNIFFING if coding in _CODINGS else _State.PASSING
        self._head = b""
        self._members = 0

    @property
    def coded(self) -> bool:
        return self._state in (_State.SNIFFING, _State.INFLATING)

    @property
    def decoded(self) -> bool:
        return self._members > 0

    def feed(self, chunk: bytes, room: int) -> bytes:
        """Decode ``chunk``, stopping at ``room`` bytes, which must be more than none."""
        output = bytearray()
        while chunk and len(output) < room:
            match self._state:
                case _State.PASSING:
                    return chunk
                case _State.SNIFFING:
                    chunk = self._sniff(chunk)
                case _State.INFLATING:
                    output += self._inflate(chunk, room - len(output))
                    chunk = self._inflater.unused_data
                case _State.ENDED:
                    break
        return bytes(output)

    def finish(self) -> bytes:
        """What is left when the stream has ended."""
        if self._state is _State.INFLATING:
            raise _BrokenCodingError
        return b"" if self.decoded else self._head

    def _sniff(self, chunk: bytes) -> bytes:
        """Decide by the first bytes what follows; return them and the rest, or nothing where they are few."""
        head = self._head + chunk
        if len(head) < _SNIFFED_BYTES:
            self._head = head
            return b""
        self._head = b""
        if self._is_gzip and not head.startswith(_GZIP_MAGIC):
            self._state = _State.ENDED if self.decoded else _State.PASSING
        else:
            self._start_member(head)
        return head

    def _start_member(self, head: bytes) -> None:
        if self._members == _MAX_MEMBERS:
            raise _BrokenCodingError
        self._members += 1
        self._inflater = zlib.decompressobj(_GZIP if self._is_gzip else _deflate_form(head))
        self._state = _State.INFLATING

    def _inflate(self, chunk: bytes, room: int) -> bytes:
        try:
            output = self._inflater.decompress(chunk, room)
        except zlib.error:
            raise _BrokenCodingError from None
        if self._inflater.eof:
            self._state = _State.SNIFFING if self._is_gzip else _State.ENDED
        return output


def _deflate_form(head: bytes) -> int:
    """Servers send "deflate" with and without the wrapper that the standard asks for."""
    is_zlib = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
    return _ZLIB if is_zlib else _RAW_DEFLATE
