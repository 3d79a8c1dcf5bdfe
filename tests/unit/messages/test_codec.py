from typing import Any

import msgpack
import pytest

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.domain.ids import AttemptId, DeliveryId, JobId
from orchestrator.messages import codec
from orchestrator.messages.codec import (
    FRAGMENT_BYTES,
    WIRE_VERSION,
    BatchReader,
    Header,
    WireError,
    decode_one,
    encode,
    encode_batch,
    fragments,
)
from orchestrator.messages.types import (
    AttemptDone,
    CancelAttempt,
    Deliver,
    Delivered,
    GoAttempt,
    Heartbeat,
    HeartbeatReply,
    Message,
    RunAttempt,
)

HEADER, OTHER = Header(3, "one"), Header(3, "two")
LARGE = AttemptDone(AttemptId("large"), 1.0, HttpResponse(status=200, headers={}, body=b"x" * 300_000))
SMALL = CancelAttempt(AttemptId("small"))


def batch(*parts: bytes, header: Header = HEADER) -> bytes:
    return encode_batch(header, list(parts))


def test_a_batch_names_whom_it_is_for() -> None:
    assert BatchReader().read(batch()) == (HEADER, [])


def test_an_absent_body_and_an_empty_one_are_kept_apart() -> None:
    bodies = []
    for body in (None, b""):
        message = RunAttempt(AttemptId("a"), 0.0, HttpRequest(method="PUT", url="http://a/", body=body))
        read = decode_one(encode(message))
        assert isinstance(read, RunAttempt)
        bodies.append(read.request.body)
    assert bodies == [None, b""]


def test_times_keep_every_bit() -> None:
    at = 0.1 + 0.2
    assert decode_one(encode(GoAttempt(AttemptId("a"), at))) == GoAttempt(AttemptId("a"), at)


REQUEST = HttpRequest(method="PUT", url="http://a/", headers=(("A", "b"),), body=b"x", owner="cust")
RESPONSE = HttpResponse(status=200, headers={"a": "b"}, body=b"x", repeated={"a": "b"})
BEFORE: list[tuple[Message, list[Any]]] = [
    (
        RunAttempt(AttemptId("a"), 0.5, REQUEST),
        [1, "a", 0.5, ["PUT", "http://a/", [["A", "b"]], b"x", 30_000, "cust", False, False]],
    ),
    (
        AttemptDone(AttemptId("a"), 1.0, RESPONSE, answered_at=2.0),
        [7, "a", 1.0, [200, {"a": "b"}, b"x", False, False, "", {"a": "b"}], None, "", 2.0],
    ),
    (
        AttemptDone(AttemptId("a"), None, None, Fault.LOST, "why"),
        [7, "a", None, None, "lost", "why", None],
    ),
    (
        Deliver(DeliveryId("d"), 1, "http://a/", None, (("A", "b"),), JobId("j")),
        [8, "d", 1, "http://a/", None, [["A", "b"]], "j"],
    ),
    (
        Delivered(DeliveryId("d"), 1, None, 4, fault=Fault.TIMEOUT),
        [9, "d", 1, None, 4, "", None, "timeout"],
    ),
    (Heartbeat("one life", 3, places=4), [10, "one life", 3, {}, 4, None, 0]),
    (HeartbeatReply(3, 1.5, "one machine"), [11, 3, 1.5, "one machine"]),
]
"""As the version before writes them."""


@pytest.mark.parametrize(("message", "before"), BEFORE, ids=[type(said).__name__ for said, _ in BEFORE])
def test_what_the_version_before_writes_is_read(message: Message, before: list[Any]) -> None:
    assert decode_one(msgpack.packb(before)) == message


@pytest.mark.parametrize(("message", "before"), BEFORE, ids=[type(said).__name__ for said, _ in BEFORE])
def test_what_is_new_in_a_message_stands_behind_all_that_the_version_before_reads(
    message: Message, before: list[Any]
) -> None:
    """It takes an absent lease, and the phases of an answer, which are 0 where nobody asked."""
    written = msgpack.unpackb(encode(message))
    assert written[: len(before)] == before
    assert written[len(before) :] in ([], [None], [0.0, 0.0])


def test_a_lease_is_read_as_it_was_written() -> None:
    leased = HeartbeatReply(3, 1.5, "one machine", lease_s=2.5)
    assert decode_one(encode(leased)) == leased


def test_a_field_of_another_type_is_refused_by_naming_its_place() -> None:
    with pytest.raises(WireError, match=r"Expected `float`, got `str` - at `\$\[2\]`"):
        decode_one(msgpack.packb([2, "a", "soon"]))


def test_a_batch_that_ends_within_a_message_is_refused() -> None:
    with pytest.raises(WireError, match="it ends within a message"):
        BatchReader().read(batch(encode(SMALL)[:-1]))


def test_a_batch_of_another_version_is_refused_by_naming_both() -> None:
    foreign = msgpack.packb((WIRE_VERSION + 1, 3, "one"))
    with pytest.raises(WireError, match=f"version {WIRE_VERSION + 1}, this side speaks {WIRE_VERSION}"):
        BatchReader().read(foreign + encode(SMALL))


def test_a_message_of_an_unknown_code_is_refused_by_naming_it() -> None:
    with pytest.raises(WireError, match="Invalid value 99"):
        BatchReader().read(batch(msgpack.packb((99, "a"))))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        b"\xc1",
        b"\x90",
        b"garbage",
        batch(b"\x05"),
        batch(b"\x90"),
        batch(b"\x91\x01"),
        batch(b"\xc1"),
    ],
)
def test_bytes_that_are_no_batch_are_refused_as_such(raw: bytes) -> None:
    with pytest.raises(WireError):
        BatchReader().read(raw)


def test_a_small_message_is_one_part() -> None:
    assert fragments(encode(SMALL), 1) == [encode(SMALL)]


def test_a_large_message_is_cut_into_parts_that_leave_room_in_a_batch() -> None:
    parts = fragments(encode(LARGE), 1)
    assert len(parts) == 5
    assert max(map(len, parts)) < FRAGMENT_BYTES + 64


def test_a_large_message_comes_together_when_its_last_part_is_there() -> None:
    reader = BatchReader()
    *early, last = fragments(encode(LARGE), 1)
    assert [reader.read(batch(part))[1] for part in early] == [[]] * 4
    assert reader.read(batch(last))[1] == [LARGE]


def test_a_part_that_comes_twice_counts_once() -> None:
    reader = BatchReader()
    first, *rest = fragments(encode(LARGE), 1)
    reader.read(batch(first))
    assert reader.read(batch(first, *rest[:-1]))[1] == []
    assert reader.read(batch(rest[-1]))[1] == [LARGE]


def test_small_messages_between_the_parts_come_at_once() -> None:
    reader = BatchReader()
    first, *rest = fragments(encode(LARGE), 1)
    assert reader.read(batch(first, encode(SMALL)))[1] == [SMALL]
    assert reader.read(batch(*rest))[1] == [LARGE]


def test_parts_of_different_senders_are_not_mixed() -> None:
    reader = BatchReader()
    first, *rest = fragments(encode(LARGE), 1)
    reader.read(batch(first, header=OTHER))
    assert reader.read(batch(*rest))[1] == []
    assert reader.read(batch(*rest, header=OTHER))[1] == [LARGE]


def test_parts_of_senders_that_are_gone_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "PARTIAL_MOST", 3)
    reader = BatchReader()
    first, *rest = fragments(encode(LARGE), 0)
    reader.read(batch(first))
    for message_id in range(1, 4):
        reader.read(batch(fragments(encode(LARGE), message_id)[0]))
    assert reader.read(batch(*rest))[1] == []
