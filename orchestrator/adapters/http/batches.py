"""A batch as it arrives: ``{"jobs": [...]}``, read job by job, so that one bad job spoils no other."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from orchestrator.adapters.http.strict_json import (
    StrictDecoder,
    check_containers,
    check_value,
    decode_text,
    not_json,
    too_deep,
)
from orchestrator.domain.errors import FieldError, InvalidFields, MalformedJson, RequestRefused, TooLarge
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds

CONTAINERS_MOST = 200_000
SLICE_BYTES = 1024 * 1024
UTF8_LATER = 0b10
"""The upper two bits of a character's bytes but its first (RFC 3629, 3)."""
Read = dict[str, Any] | RequestRefused
"""One job's document, or why it is none."""

_OPENING = re.compile(r'[ \t\n\r]*\{[ \t\n\r]*"jobs"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*')
_BETWEEN = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_CLOSING = re.compile(r"[ \t\n\r]*\][ \t\n\r]*\}[ \t\n\r]*\Z")


async def batch_text(data: bytearray, pause: Callable[[], Awaitable[None]]) -> str:
    """Check that a batch is UTF-8, count its arrays and objects, and give it as text of a character a byte
    (Latin-1), all in slices; ``pause`` lets others work in between. Nothing is left in ``data``.

    One emoji would have each character of a text take four bytes. What JSON is made of is the same bytes in
    both encodings, and no others are, so that jobs are found in either.

    Raises:
        MalformedJson: It is not UTF-8, or holds more than CONTAINERS_MOST.

    """
    count, parts = 0, []
    with memoryview(data) as view:
        for start, end in _slices(data):
            count += data.count(b"[", start, end) + data.count(b"{", start, end)
            decode_text(view[start:end], start)
            parts.append(str(view[start:end], "latin-1"))
            await pause()
    if count > CONTAINERS_MOST:
        check_containers(data, CONTAINERS_MOST)
    data.clear()
    return "".join(parts)


def read_batch(text: str, bounds: SubmissionBounds) -> Iterator[Read]:
    """Read the jobs of a batch, as ``batch_text`` gives it, one after the other; the caller may let others
    work in between.

    Raises:
        MalformedJson: The text is not JSON, so that where the next job begins can't be said.
        InvalidFields: It is not ``{"jobs": [...]}``, or holds more than ``bounds.batch_jobs``.

    """
    opening = _OPENING.match(text)
    if opening is None:
        raise InvalidFields([FieldError("jobs", 'a batch is {"jobs": [...]}, with nothing else in it')])
    at, count, decoder = opening.end(), 0, StrictDecoder()
    is_as_read = text.isascii()
    closing = _CLOSING.match(text, at)
    while closing is None:
        count += 1
        if count > bounds.batch_jobs:
            raise InvalidFields([FieldError("jobs", f"holds more than {bounds.batch_jobs} jobs")])
        value, end = _value_at(decoder, text, at, bounds)
        if not is_as_read:
            decoder.take_complaint()
            value, _ = decoder.raw_decode(text[at:end].encode("latin-1").decode())
        yield _judged(value, text, at, end, decoder.take_complaint(), bounds)
        closing = _CLOSING.match(text, end)
        between = _BETWEEN.match(text, end)
        if closing is None and between is None:
            raise not_json(json.JSONDecodeError("Expecting ',' or the end of the batch", text, end))
        at = between.end() if between else end


def _slices(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(data):
        end = min(start + SLICE_BYTES, len(data))
        # The later bytes of a character, of which there are at most three, stay with its first.
        while end < min(start + SLICE_BYTES + 3, len(data)) and data[end] >> 6 == UTF8_LATER:
            end += 1
        yield start, end
        start = end


def _value_at(decoder: StrictDecoder, text: str, at: int, bounds: SubmissionBounds) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise not_json(error) from None
    except RecursionError:
        raise too_deep(bounds.json_depth) from None


def _judged(
    value: object, text: str, at: int, end: int, complaint: str | None, bounds: SubmissionBounds
) -> Read:
    if end - at > bounds.body_bytes:
        return TooLarge(f"the job is larger than {bounds.body_bytes} bytes; the operator sets that limit")
    if complaint is not None:
        return MalformedJson(complaint)
    if not isinstance(value, dict):
        return MalformedJson("a job must be a JSON object")
    try:
        check_value(value, bounds.json_depth, escaped=text.find("\\u", at, end) >= 0)
    except MalformedJson as error:
        return error
    return value
