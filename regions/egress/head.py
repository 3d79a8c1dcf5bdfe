"""Reading the head of an answer: its status line, and whatever of its header can be read and kept.

Once the status line is there nothing in the header makes the answer vanish: lines that say nothing are passed
over, and what is too much is left out (RFC 9112, sections 2.2, 4 and 5, read as leniently as it lets
clients).
"""

import re
from http import HTTPStatus

HEADER_BYTES_MOST = 128 * 1024
"""Of an answer's header lines that are kept, interim answers' included."""
HEADER_LINES_MOST = 1_000
"""Of those lines. Each costs whoever reads it, from here to the customer, far more than its bytes."""
LINE_OVERHEAD = 32
"""What a line counts besides its own bytes, as in HPACK (RFC 7541, section 4.1)."""
FIELD_COSTS = 144
"""What a line that is kept takes in memory besides its bytes."""
_FRAMING_LINES_MOST = 16
HEAD_BYTES_MOST = HEADER_BYTES_MOST + FIELD_COSTS * (HEADER_LINES_MOST + _FRAMING_LINES_MOST)
"""What a head takes in memory at most."""
INTERIM_MOST = 1_000
"""Answers of the class 1xx before the final one: one every second for longer than an exchange may take."""
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"content-encoding"))
_FRAMING_BEGINS = b"CTct"
_FRAMING_LINE_BYTES_MOST = 1_024
_STATUS_LINE = re.compile(rb"HTTP/(\d(?:\.\d)?)[ \t]+([1-9]\d\d)(?:[ \t].*)?", re.DOTALL)
_TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"


class NotHttpError(Exception):
    """What arrived does not begin with a status line."""


class EndlessInterimError(Exception):
    """Interim answers came, and came, and none that ends the exchange."""


class HeadReader:
    """Takes a head as it arrives. ``status`` is None until the final answer's status line was read.

    ``fields`` are names in lower case and values, in the order of their lines; ``cut`` says that some were
    left out, for there was no room. ``odd`` says that a line was not as it should be: the answer counts, but
    where the next one begins on that connection is not to be relied on.
    """

    __slots__ = (
        "_framing",
        "_framing_left",
        "_interims",
        "_partial",
        "_room",
        "_skipping",
        "_version",
        "cut",
        "fields",
        "odd",
        "status",
    )

    def __init__(self) -> None:
        self.status: int | None = None
        self.fields: list[tuple[bytes, bytes]] = []
        self.cut = False
        self.odd = False
        self._version = b""
        self._partial = b""
        self._skipping = False
        self._room = HEADER_BYTES_MOST
        self._framing_left = _FRAMING_LINES_MOST
        self._framing: dict[bytes, list[bytes]] = {}
        self._interims = 0

    @property
    def is_http_1_1(self) -> bool:
        """Whether the server speaks the version whose connections persist by default."""
        return self._version not in (b"1.0", b"0.9")

    @property
    def size(self) -> int:
        """What it takes in memory so far, in bytes, or a little less."""
        return HEADER_BYTES_MOST - self._room + FIELD_COSTS * len(self.fields) + len(self._partial)

    def framing(self, name: bytes) -> list[bytes]:
        """The values of every line of a ``name`` (in lower case) that tells how the body is to be read."""
        return self._framing.get(name, [])

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived; return what lies behind the head, and None while the head goes on.

        Raises:
            NotHttpError: It does not begin with a status line.
            EndlessInterimError: Too many interim answers came before the final one.
        """
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            start = end + 1
            if self._partial or self._skipping:
                line = self._joined(line)
            if self._take(line[:-1] if line[-1:] == b"\r" else line):
                return data[start:]
        if start < len(data):
            self._keep_partial(data[start:])
        return None

    def _joined(self, line: bytes) -> bytes:
        whole = b"-" if self._skipping else self._partial + line
        self._partial, self._skipping = b"", False
        return whole

    def _keep_partial(self, data: bytes) -> None:
        """A line that is longer than the whole room is dropped as it comes; a status line is never."""
        if self._skipping:
            return
        self._partial += data
        if len(self._partial) <= HEADER_BYTES_MOST:
            return
        if not self._version:
            self._begin(self._partial)
        else:
            self.cut = True
        self._partial, self._skipping = b"", True

    def _take(self, line: bytes) -> bool:
        """Take a line; say whether it ended the final answer's head."""
        if not self._version:
            if line:
                self._begin(line)
            return False
        if line:
            self._field(line)
            return False
        if self.status is not None:
            return True
        self._interims += 1
        if self._interims > INTERIM_MOST:
            raise EndlessInterimError
        self._version = b""
        self.fields.clear()
        self._framing.clear()
        return False

    def _begin(self, line: bytes) -> None:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise NotHttpError
        self._version = match[1]
        status = int(match[2])
        is_interim = status < HTTPStatus.OK and status != HTTPStatus.SWITCHING_PROTOCOLS
        self.status = None if is_interim else status

    def _field(self, line: bytes) -> None:
        if len(self.fields) >= HEADER_LINES_MOST and line[0] not in _FRAMING_BEGINS:
            # What nobody looked at may be anything.
            self.cut = self.odd = True
        elif line[0] in b" \t":
            self._unfold(line)
        else:
            self._named(line)

    def _named(self, line: bytes) -> None:
        name, colon, raw_value = line.partition(b":")
        name = name.lower()
        if not colon or not name or name.translate(None, _TOKEN_BYTES):
            self.odd = True
            name = name.rstrip(b" \t")
        if colon and name:
            self._keep(name, _clean(raw_value))

    def _unfold(self, line: bytes) -> None:
        """A folded line goes on with the one before (RFC 9112, section 5.2)."""
        more = _clean(line)
        if self.fields and len(more) < self._room:
            self._room -= len(more) + 1
            name, value = self.fields[-1]
            self.fields[-1] = (name, b"%b %b" % (value, more))
        self.odd = True

    def _keep(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + LINE_OVERHEAD
        is_framing = name in _FRAMING
        if size <= self._room and len(self.fields) < HEADER_LINES_MOST:
            self._room -= size
        elif is_framing and len(value) <= _FRAMING_LINE_BYTES_MOST and self._framing_left:
            # Without these lines the body could not be read: there is room for some of them always.
            self._framing_left -= 1
        else:
            self.cut = True
            return
        self.fields.append((name, value))
        if is_framing:
            self._framing.setdefault(name, []).append(value)


def _clean(value: bytes) -> bytes:
    """Bytes that no value may hold become spaces (RFC 9110, section 5.5)."""
    if b"\r" in value or b"\0" in value:
        value = value.replace(b"\r", b" ").replace(b"\0", b" ")
    return value.strip(b" \t")
