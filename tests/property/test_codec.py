import contextlib
from random import Random
from typing import get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrator.domain.exchange import HttpResponse, Phases
from orchestrator.domain.ids import AttemptId
from orchestrator.messages.codec import (
    FRAGMENT_BYTES,
    BatchReader,
    Header,
    WireError,
    decode_one,
    encode,
    encode_batch,
    fragments,
)
from orchestrator.messages.types import AttemptDone, Message
from tests.property.strategies import ANY_MESSAGE, MESSAGES
from tests.support.long import drawn

HEADER = Header(7, "an incarnation")


def test_every_kind_of_message_is_drawn() -> None:
    assert set(MESSAGES) == set(get_args(Message))


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=st.data())
@settings(max_examples=drawn(60), deadline=None)
def test_a_message_comes_back_as_it_was(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(MESSAGES[kind])
    read = decode_one(encode(message))
    assert read == message
    assert type(read) is kind


@given(st.lists(ANY_MESSAGE, max_size=12))
@settings(max_examples=drawn(100), deadline=None)
def test_a_batch_brings_its_messages_in_their_order(messages: list[Message]) -> None:
    batch = encode_batch(HEADER, [encode(message) for message in messages])
    assert BatchReader().read(batch) == (HEADER, messages)


def large(number: int, size: int) -> AttemptDone:
    body = Random(number).randbytes(size)
    return AttemptDone(AttemptId(str(number)), 1.5, HttpResponse(status=200, headers={}, body=body))


@given(sizes=st.lists(st.integers(0, 5 * FRAGMENT_BYTES), min_size=1, max_size=5), random=st.randoms())
@settings(max_examples=drawn(40), deadline=None)
def test_fragments_come_together_in_whatever_order_and_company_they_travel(
    sizes: list[int], random: Random
) -> None:
    messages = [large(number, size) for number, size in enumerate(sizes)]
    parts = [part for number, message in enumerate(messages) for part in fragments(encode(message), number)]
    random.shuffle(parts)
    reader, read = BatchReader(), []
    for part in parts:
        read += reader.read(encode_batch(HEADER, [part]))[1]
    assert sorted(read, key=str) == sorted(messages, key=str)


def test_the_phases_of_an_answer_stand_behind_what_the_version_before_reads() -> None:
    plain = AttemptDone(AttemptId("1"), 1.5, HttpResponse(status=200, headers={}, body=b""), answered_at=2.0)
    told = replace(plain, write_s=0.1, wait_s=0.2)
    without, behind = msgpack.unpackb(encode(plain)), msgpack.unpackb(encode(told))
    assert behind[:-2] == without[:-2]
    assert behind[-2:] == [0.1, 0.2]
    assert (plain.phases, told.phases) == (None, Phases(0.1, 0.2))


@given(st.binary(max_size=60))
@settings(max_examples=drawn(300), deadline=None)
def test_bytes_that_are_no_batch_are_refused_as_such(raw: bytes) -> None:
    with contextlib.suppress(WireError):
        BatchReader().read(raw)
