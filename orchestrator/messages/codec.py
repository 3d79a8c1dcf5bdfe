"""The one codec: messages to msgpack and back. A batch is a header followed by messages.

A message too large for one batch travels as fragments, so that it holds up nobody.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgpack
from msgspec import Struct

from orchestrator.domain.byte_budget import ByteBudget
from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse, Phases
from orchestrator.messages.types import (
    AnswerHeld,
    AttemptDone,
    AttemptReady,
    AttemptStarted,
    CancelAttempt,
    Deliver,
    Delivered,
    DeliverySigned,
    GoAttempt,
    Heartbeat,
    HeartbeatReply,
    JobResult,
    Message,
    NeedResult,
    PermitUnused,
    RunAttempt,
    SendAnswer,
    SessionMessage,
    ShardHeartbeat,
    ShardHeartbeatReply,
)

WIRE_VERSION = 5
"""5: machines of different versions may be at the two ends, so the one before is spoken as well."""
WIRE_VERSIONS = frozenset({4, WIRE_VERSION})
FRAGMENT_BYTES = 64 * 1024
PARTIAL_MOST = 1_000
PARTIAL_BYTES_MOST = 64 * 1024 * 1024
"""Of fragments whose messages are not whole yet, of all who share a budget: twice what a shard asks for."""
_FRAGMENT = 0


class WireError(Exception):
    """Bytes that are no batch of ours, or of another version."""


class Header(Struct, frozen=True):
    """Whom a batch is for and from: the shard's epoch, and the executor's incarnation."""

    epoch: int
    incarnation: str


def encode(message: Message) -> bytes:
    """Write one message."""
    code, flatten = _WRITERS[type(message)]
    return _pack((code, *flatten(message)))


def fragments(encoded: bytes, message_id: int) -> list[bytes]:
    """Cut an encoded message into parts of at most FRAGMENT_BYTES; a small one is its own part."""
    if len(encoded) <= FRAGMENT_BYTES:
        return [encoded]
    count = -(-len(encoded) // FRAGMENT_BYTES)
    return [
        _pack(
            (
                _FRAGMENT,
                message_id,
                index,
                count,
                encoded[index * FRAGMENT_BYTES : (index + 1) * FRAGMENT_BYTES],
            )
        )
        for index in range(count)
    ]


def encode_batch(header: Header, parts: list[bytes]) -> bytes:
    """Join encoded messages or fragments behind a header."""
    return _pack((WIRE_VERSION, header.epoch, header.incarnation)) + b"".join(parts)


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
        unpacker = msgpack.Unpacker(max_buffer_size=0)
        unpacker.feed(batch)
        items = iter(unpacker)
        try:
            header = _header(items)
            return header, list(self._messages(header, items))
        except (ValueError, TypeError, LookupError, StopIteration) as error:
            msg = f"not a batch: {error!r}"
            raise WireError(msg) from error

    def forget(self) -> None:
        """The rest of no message comes any more."""
        for key in list(self._partial):
            self._drop(key)

    def _messages(self, header: Header, items: Iterator[list[Any]]) -> Iterator[Message]:
        for item in items:
            if item[0] != _FRAGMENT:
                yield decode(item)
            elif (whole := self._collect(header, item)) is not None:
                yield decode(msgpack.unpackb(whole))

    def _collect(self, header: Header, item: list[Any]) -> bytes | None:
        _, message_id, index, count, data = item
        if not (0 <= index < count and isinstance(data, bytes)):
            msg = f"fragment {index!r} of {count!r}"
            raise WireError(msg)
        partial = self._partial.setdefault((header, message_id), _Partial())
        if index not in partial.parts:
            partial.parts[index] = data
            self._budget.take(self._owner, len(data))
        if len(partial.parts) == count:
            self._drop((header, message_id))
            return b"".join(partial.parts[i] for i in range(count))
        # The rest of the oldest will not come: its sender is gone, or makes them without end.
        while len(self._partial) > PARTIAL_MOST or (self._partial and not self._budget.fits(self._owner, 0)):
            self._drop(next(iter(self._partial)))
        return None

    def _drop(self, key: tuple[Header, int]) -> None:
        for part in self._partial.pop(key).parts.values():
            self._budget.give_back(self._owner, len(part))


def decode(item: list[Any]) -> Message:
    """Build a message from its fields.

    Raises:
        WireError: No message has that code.
    """
    reader = _READERS.get(item[0])
    if reader is None:
        msg = f"unknown message code {item[0]!r}"
        raise WireError(msg)
    return reader(item)


def decode_one(encoded: bytes) -> Message:
    """Read one message that travels alone."""
    return decode(msgpack.unpackb(encoded))


def _header(items: Iterator[list[Any]]) -> Header:
    version, epoch, incarnation = next(items)
    if version not in WIRE_VERSIONS:
        msg = f"wire version {version}, this side speaks {WIRE_VERSION}"
        raise WireError(msg)
    return Header(epoch, incarnation)


def _request_out(request: HttpRequest) -> tuple[object, ...]:
    return (
        request.method,
        request.url,
        request.headers,
        request.body,
        request.timeout_ms,
        request.owner,
        request.fresh_connection,
        request.status_suffices,
    )


def _request_in(fields: list[Any]) -> HttpRequest:
    method, url, headers, body, timeout_ms, owner, fresh_connection, status_suffices = fields
    return HttpRequest(
        method=method,
        url=url,
        headers=_headers_in(headers),
        body=body,
        timeout_ms=timeout_ms,
        owner=owner,
        fresh_connection=fresh_connection,
        status_suffices=status_suffices,
    )


def _response_out(response: HttpResponse | None) -> tuple[object, ...] | None:
    if response is None:
        return None
    return (
        response.status,
        response.headers,
        response.body,
        response.truncated,
        response.headers_truncated,
        response.incomplete,
        response.repeated,
    )


def _phases_out(response: HttpResponse | None) -> tuple[float, ...]:
    # Behind all else: who speaks the version before reads past it.
    phases = response.phases if response is not None else None
    return () if phases is None else (phases.write_s, phases.wait_s)


def _response_in(fields: list[Any] | None, phases: list[Any]) -> HttpResponse | None:
    if fields is None:
        return None
    status, headers, body, truncated, headers_truncated, incomplete, repeated = fields
    return HttpResponse(
        status=status,
        headers=headers,
        body=body,
        truncated=truncated,
        headers_truncated=headers_truncated,
        incomplete=incomplete,
        repeated=repeated,
        phases=Phases(*phases) if phases else None,
    )


def _plain(*names: str) -> Callable[[Any], tuple[object, ...]]:
    def flatten(message: Message) -> tuple[object, ...]:
        return tuple(getattr(message, name) for name in names)

    return flatten


def _build(kind: Callable[..., Message]) -> Callable[[list[Any]], Message]:
    def read(item: list[Any]) -> Message:
        return kind(*item[1:])

    return read


def _read_run(item: list[Any]) -> Message:
    return RunAttempt(item[1], item[2], _request_in(item[3]))


def _read_done(item: list[Any]) -> Message:
    fault = None if item[4] is None else Fault(item[4])
    return AttemptDone(item[1], item[2], _response_in(item[3], item[7:]), fault, item[5], item[6])


def _read_deliver(item: list[Any]) -> Message:
    return Deliver(item[1], item[2], item[3], item[4], _headers_in(item[5]), item[6])


def _read_signed(item: list[Any]) -> Message:
    return DeliverySigned(item[1], item[2], _headers_in(item[3]))


def _headers_in(fields: list[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in fields)


def _read_delivered(item: list[Any]) -> Message:
    fault = None if item[7] is None else Fault(item[7])
    return Delivered(item[1], item[2], item[3], item[4], item[5], item[6], fault)


_pack: Callable[[object], bytes] = msgpack.Packer(autoreset=True).pack
_WRITERS: dict[type[Message], tuple[int, Callable[[Any], tuple[object, ...]]]] = {
    RunAttempt: (1, lambda m: (m.attempt, m.start_at, _request_out(m.request))),
    GoAttempt: (2, _plain("attempt", "start_at")),
    CancelAttempt: (3, _plain("attempt")),
    PermitUnused: (4, _plain("attempt")),
    AttemptReady: (5, _plain("attempt")),
    AttemptStarted: (6, _plain("attempt", "at")),
    AttemptDone: (
        7,
        lambda m: (
            *(m.attempt, m.started_at, _response_out(m.response), m.fault, m.message, m.answered_at),
            *_phases_out(m.response),
        ),
    ),
    Deliver: (8, _plain("delivery", "attempt", "url", "body", "headers", "job")),
    Delivered: (9, _plain("delivery", "attempt", "status", "took_ms", "message", "retry_after_s", "fault")),
    Heartbeat: (10, _plain("incarnation", "epoch", "vitals", "places", "heard_s", "number")),
    HeartbeatReply: (11, lambda m: (m.epoch, m.now, m.boot_id) + (() if m.lease_s is None else (m.lease_s,))),
    NeedResult: (12, _plain("delivery", "attempt", "has_body")),
    JobResult: (13, _plain("job", "body")),
    AnswerHeld: (14, _plain("attempt", "size")),
    SendAnswer: (15, _plain("attempt")),
    DeliverySigned: (16, _plain("delivery", "attempt", "headers")),
    SessionMessage: (17, _plain("job", "step", "number", "after", "kind", "body")),
    ShardHeartbeat: (18, _plain("epoch", "session", "number")),
    ShardHeartbeatReply: (19, _plain("epoch", "session")),
}
_READERS: dict[int, Callable[[list[Any]], Message]] = {
    1: _read_run,
    2: _build(GoAttempt),
    3: _build(CancelAttempt),
    4: _build(PermitUnused),
    5: _build(AttemptReady),
    6: _build(AttemptStarted),
    7: _read_done,
    8: _read_deliver,
    9: _read_delivered,
    10: _build(Heartbeat),
    11: _build(HeartbeatReply),
    12: _build(NeedResult),
    13: _build(JobResult),
    14: _build(AnswerHeld),
    15: _build(SendAnswer),
    16: _read_signed,
    17: _build(SessionMessage),
    18: _build(ShardHeartbeat),
    19: _build(ShardHeartbeatReply),
}
