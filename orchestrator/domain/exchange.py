"""One HTTP exchange with a target or a webhook receiver: what is asked, and how it ended.

What is asked and answered travels as a list of its fields, in their order: a new one goes last.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from msgspec import Struct, field
from msgspec.structs import replace

from orchestrator.domain.byte_budget import TLS_COSTS

RESPONSE_BYTES_MOST = 5 * 1024 * 1024
"""Of an answer's body, after its content coding was undone; what is more is cut."""
LINE_COSTS = 160
"""What a header line takes in memory besides its characters, in bytes."""


def is_secure(url: str) -> bool:
    """Whether what goes there goes within TLS."""
    return url[:6].lower() == "https:"


class HttpRequest(Struct, frozen=True, kw_only=True, array_like=True):
    """A request exactly as it is to be written: nothing is added to it on the way.

    ``body`` is None where there is none; ``timeout_ms`` bounds the exchange, from the first byte written to
    the last byte read, and, apart from that, the making of the connection. ``fresh_connection``: it is
    written to a connection that served no other, for an old one may be closed by the other side just then.
    ``owner``: whose it is, where something is shared fairly.
    ``status_suffices``: little time is spent on what follows the answer's status line.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    timeout_ms: int = 30_000
    owner: str = ""
    fresh_connection: bool = False
    status_suffices: bool = False

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes."""
        lines = sum([LINE_COSTS + len(name) + len(value) for name, value in self.headers])
        return len(self.url) + lines + len(self.body or b"")

    @property
    def size_at_node(self) -> int:
        """The same of its connection too, where that is within TLS."""
        return self.size + (TLS_COSTS if is_secure(self.url) else 0)


class Phases(Struct, frozen=True):
    """Where an exchange's time went, in s: from its first byte until it was written whole, and from then
    until the answer's status was known. The rest is reading.
    """

    write_s: float
    wait_s: float


class HttpResponse(Struct, frozen=True, kw_only=True, array_like=True):
    """An answer, decoded. Header names are lower case, repeated ones joined with ``, `` (``set-cookie`` with
    newlines). ``truncated`` says that the body was cut at the size limit, and ``headers_truncated`` that
    header lines were left out at theirs. ``incomplete`` says in words why the answer could not be read to its
    end, and is empty where it could. ``repeated`` holds those
    headers that bear on pace and came more than once, their lines apart by newlines.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool = False
    headers_truncated: bool = False
    incomplete: str = ""
    repeated: Mapping[str, str] = field(default_factory=dict)

    @property
    def header_bytes(self) -> int:
        """What its headers take in memory."""
        headers = self.headers
        return LINE_COSTS * len(headers) + sum(map(len, headers)) + sum(map(len, headers.values()))

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes."""
        return len(self.body) + self.header_bytes

    @property
    def lines_apart(self) -> Mapping[str, str]:
        """Its headers as they are read for what they say about pace."""
        return {**self.headers, **self.repeated} if self.repeated else self.headers

    @property
    def successful(self) -> bool:
        """Whether the status is of the class 2xx (RFC 9110, 15.3)."""
        return 200 <= self.status < 300  # noqa: PLR2004  # that class

    @property
    def beyond_doubt(self) -> bool:
        """Whether it is a success of which nothing is missing but what is beyond a limit."""
        return self.successful and not self.incomplete

    def with_body_cut(self, most: int) -> Self:
        """Keep at most so many bytes of the body, and say so where it had more."""
        if len(self.body) <= most:
            return self
        return replace(self, body=self.body[:most], truncated=True)

    def cut(self, most: int) -> Self:
        """Keep at most so many bytes of the body, and headers only where they take no more than that."""
        if self.header_bytes <= most:
            return self.with_body_cut(most)
        bare = replace(self, headers={}, repeated={}, headers_truncated=True)
        return bare.with_body_cut(most)


class Fault(StrEnum):
    """Why an exchange ended without an answer."""

    CONNECT = "connect"
    """No connection came about: nothing was written."""
    TIMEOUT = "timeout"
    """The time limit passed after the first byte was written."""
    CONNECT_TIMEOUT = "connect_timeout"
    """The time limit passed before a connection was ready: nothing was written."""
    BROKEN = "broken"
    """The connection broke, or spoke no HTTP, after the first byte was written."""
    NOT_ALLOWED = "not_allowed"
    """The target's address is one that the guard refuses: nothing was written."""
    INVALID = "invalid"
    """The request can't be put on a wire: nothing was written."""
    CANCELLED = "cancelled"
    """Somebody asked for its end."""
    LOST = "lost"
    """Its region went down while it was under way, or its way was shut before it could start."""

    @property
    def unwritten(self) -> bool:
        """Whether the other side has certainly seen nothing."""
        return self in (Fault.CONNECT, Fault.CONNECT_TIMEOUT, Fault.NOT_ALLOWED, Fault.INVALID)
