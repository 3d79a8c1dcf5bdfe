"""A large result, written in pieces: to make five megabytes of JSON at once takes 40 ms."""

import base64
import codecs
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.domain.byte_budget import KIB
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import Course
from orchestrator.domain.execution.run import Answer
from orchestrator.domain.execution.settling import Failure
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.json_bytes import json_bytes
from orchestrator.domain.results.report import around_body, controls_in, result_document, too_many_controls

SLICE_BYTES = 48 * KIB
"""Takes half a millisecond at most; a multiple of three, for base64."""

_new_decoder = codecs.getincrementaldecoder("utf-8")


class _Response(Struct, frozen=True):
    response: HttpResponse
    ran_in: str | None


class _Text(Struct, frozen=True):
    """What stands between the quotes of a JSON string."""

    pieces: Iterator[bytes]


def large_webhook_body(
    job: Job,
    course: Course,
    state: JobState,
    *,
    step: int,
    answer: Answer | None,
    failure: Failure | None,
) -> Iterator[bytes]:
    """Write the bytes of ``report.webhook_body``; a piece may be empty where only time was taken."""
    document = result_document(job, course, state, step=step, answer=answer, failure=failure, show=_Response)
    return _members(document)


def _members(document: Mapping[str, Any]) -> Iterator[bytes]:
    before = b"{"
    for name, value in document.items():
        yield before + json_bytes(name) + b":"
        yield from _value(value)
        before = b","
    yield b"}"


def _value(value: object) -> Iterator[bytes]:
    match value:
        case _Response(response, ran_in):
            body = yield from _body_fields(response.body)
            yield from _members(around_body(response, body, ran_in))
        case _Text(pieces):
            yield b'"'
            yield from pieces
            yield b'"'
        case dict() if any(isinstance(inner, _Response) for inner in value.values()):
            yield from _members(value)
        case _:
            yield json_bytes(value)


def _body_fields(body: bytes) -> Generator[bytes, None, dict[str, Any]]:
    """Show a body, once it is known whether it is text: nothing is written meanwhile."""
    escaped: deque[bytes] = deque()
    size = 0
    decoder = _new_decoder()
    try:
        for piece in _slices(body):
            escaped.append(msgspec.json.encode(decoder.decode(piece))[1:-1])
            size += len(escaped[-1])
            yield b""
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _as_base64(body)
    # No escape adds more than five bytes: only a body that grew so much can hold so many of those.
    if too_many_controls((size - len(body)) // 5, len(body)) and (yield from _has_too_many_controls(body)):
        return _as_base64(body)
    return {"body": _Text(_drained(escaped))}


def _has_too_many_controls(body: bytes) -> Generator[bytes, None, bool]:
    controls = 0
    for piece in _slices(body):
        controls += controls_in(piece)
        yield b""
    return too_many_controls(controls, len(body))


def _as_base64(body: bytes) -> dict[str, Any]:
    pieces = (base64.b64encode(piece) for piece in _slices(body))
    return {"body": _Text(pieces), "body_encoding": "base64"}


def _drained(pieces: deque[bytes]) -> Iterator[bytes]:
    while pieces:
        yield pieces.popleft()


def _slices(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), SLICE_BYTES):
        yield body[at : at + SLICE_BYTES]
