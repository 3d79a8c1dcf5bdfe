"""The one codec: messages to msgpack and back. A batch is a header followed by messages.

A message too large for one batch travels as fragments, so that it holds up nobody.
"""

from collections.abc import Callable, Iterator

import msgpack
import msgspec
from msgspec import Struct

from orchestrator.domain.byte_budget import ByteBudget
from orchestrator.messages.types import Message

WIRE_VERSION = 6
"""6: machines of different versions may be at the two ends, so the one before is spoken as well."""
WIRE_VERSIONS = frozenset({5, WIRE_VERSION})
FRAGMENT_BYTES = 64 * 1024
PARTIAL_MOST = 1_000
PARTIAL_BYTES_MOST = 64 * 1024 * 1024
"""Of fragments whose messages are not whole yet, of all who share a budget: twice what a shard asks for."""


class WireError(Exception):
    """Bytes that are no batch of ours, or of another version."""


class LaterLifeError(WireError):
    """A batch for a later life of whom it came to: taken there it would be lost, so it has to come again."""


class Header(Struct, frozen=True):
    """Whom a batch is for and from: the shard's epoch, and the executor's incarnation."""

    epoch: int
    incarnation: str


class _Versioned(Struct, frozen=True, array_like=True):
    """A header as it is written."""

    version: int
    epoch: int
    incarnation: str


class _Fragment(Struct, frozen=True, array_like=True, tag=0):
    """One of a message's ``count`` parts."""

    message: int
    index: int
    count: int
    data: bytes


def encode(message: Message) -> bytes:
    """Write one message."""
    return _pack(message)


def fragments(encoded: bytes, message_id: int) -> list[bytes]:
    """Cut an encoded message into parts of at most FRAGMENT_BYTES; a small one is its own part."""
    if len(encoded) <= FRAGMENT_BYTES:
        return [encoded]
    count = -(-len(encoded) // FRAGMENT_BYTES)
    starts = range(0, len(encoded), FRAGMENT_BYTES)
    return [
        _pack(_Fragment(message_id, index, count, encoded[start : start + FRAGMENT_BYTES]))
        for index, start in enumerate(starts)
    ]


def encode_batch(header: Header, parts: list[bytes]) -> bytes:
    """Join encoded messages or fragments behind a header."""
    return _pack(_Versioned(WIRE_VERSION, header.epoch, header.incarnation)) + b"".join(parts)


def in_version(batch: bytes, version: int) -> bytes:
    """Write a batch as a peer of another version reads it: all that differs is the number in its header."""
    return batch if version == WIRE_VERSION else batch[:1] + bytes((version,)) + batch[2:]


class _Partial:
    """A message of which fragments are missing."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}


class BatchReader:
    """Reads batches, putting fragments of the same sender's message together again.

    Args:
        budget: Of fragments that wait for the rest of their messages; those that began first are dropped.
        owner: Who that is, where several share the budget.
    """

    def __init__(self, budget: ByteBudget | None = None, owner: str = "") -> None:
        self._partial: dict[tuple[Header, int], _Partial] = {}
        self._budget = budget or ByteBudget(PARTIAL_BYTES_MOST)
        self._owner = owner

    def read(self, batch: bytes) -> tuple[Header, list[Message]]:
        """Read one batch.

        Raises:
            WireError: It is none, or of another version.
        """
        try:
            head, *parts = _split(batch)
            header = _header(head)
            return header, list(self._messages(header, parts))
        except (msgspec.MsgspecError, ValueError) as error:
            msg = f"not a batch: {error}"
            raise WireError(msg) from error

    def forget(self) -> None:
        """The rest of no message comes any more."""
        for key in list(self._partial):
            self._drop(key)

    def _messages(self, header: Header, parts: list[memoryview]) -> Iterator[Message]:
        for part in parts:
            message = _read_any(part)
            if not isinstance(message, _Fragment):
                yield message
            elif (whole := self._collect(header, message)) is not None:
                yield _read_whole(whole)

    def _collect(self, header: Header, fragment: _Fragment) -> bytes | None:
        index, count, data = fragment.index, fragment.count, fragment.data
        if not 0 <= index < count:
            msg = f"fragment {index} of {count}"
            raise WireError(msg)
        partial = self._partial.setdefault((header, fragment.message), _Partial())
        if index not in partial.parts:
            partial.parts[index] = data
            self._budget.take(self._owner, len(data))
        if len(partial.parts) == count:
            self._drop((header, fragment.message))
            return b"".join(partial.parts[i] for i in range(count))
        # The rest of the oldest will not come: its sender is gone, or makes them without end.
        while len(self._partial) > PARTIAL_MOST or (self._partial and not self._budget.fits(self._owner, 0)):
            self._drop(next(iter(self._partial)))
        return None

    def _drop(self, key: tuple[Header, int]) -> None:
        for part in self._partial.pop(key).parts.values():
            self._budget.give_back(self._owner, len(part))


def decode_one(encoded: bytes) -> Message:
    """Read one message that travels alone.

    Raises:
        WireError: It is none.
    """
    try:
        return _read_whole(encoded)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"not a message: {error}"
        raise WireError(msg) from error


def _split(batch: bytes) -> Iterator[memoryview]:
    """Give the objects of which a batch is made, unread.

    Raises:
        ValueError: It is made of something else.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(batch)
    view, begin = memoryview(batch), 0
    while begin < len(batch):
        try:
            unpacker.skip()
        except msgpack.OutOfData:
            raise ValueError("it ends within a message") from None
        end = unpacker.tell()
        yield view[begin:end]
        begin = end


def _header(head: memoryview) -> Header:
    versioned = _read_header(head)
    if versioned.version not in WIRE_VERSIONS:
        msg = f"wire version {versioned.version}, this side speaks {WIRE_VERSION}"
        raise WireError(msg)
    return Header(versioned.epoch, versioned.incarnation)


_pack: Callable[[Struct], bytes] = msgspec.msgpack.Encoder().encode
_read_header: Callable[[memoryview], _Versioned] = msgspec.msgpack.Decoder(_Versioned).decode
_read_any: Callable[[memoryview], Message | _Fragment] = msgspec.msgpack.Decoder(Message | _Fragment).decode
_read_whole: Callable[[bytes], Message] = msgspec.msgpack.Decoder(Message).decode
