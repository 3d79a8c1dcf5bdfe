"""JSON as RFC 8259 means it, and not a value more: what two readers could read differently is refused."""

import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from orchestrator.domain.errors import MalformedJson

INT_LEAST, INT_MOST = -(2**63), 2**64 - 1
"""What msgpack, and so the store, can hold."""
DIGITS_MOST = 21
CONTAINERS_MOST = 25_000
"""Arrays and objects in one document. A megabyte of tiny ones takes a quarter second to read."""
CHAIN_FIELDS = ("fallback_job", "fallbackJob", "on_success", "onSuccess", "on_failure", "onFailure")


class StrictDecoder(json.JSONDecoder):
    """Reads values, and keeps the first complaint about one that is JSON to others only.

    Python's decoder goes on after a complaint, so that in a batch the next value can be found.
    """

    def __init__(self) -> None:
        self.complaint: str | None = None
        super().__init__(
            object_pairs_hook=self._unique,
            parse_constant=self._refuse_constant,
            parse_float=self._finite,
            parse_int=self._whole,
        )

    def take_complaint(self) -> str | None:
        """Say what was wrong with what was read since the last call; None where it was strict JSON."""
        complaint, self.complaint = self.complaint, None
        return complaint

    def _complain(self, message: str) -> None:
        self.complaint = self.complaint or message

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
            self._complain(f"the key {twice[:100]!r} stands twice")
        return found

    def _refuse_constant(self, name: str) -> None:
        self._complain(f"{name} is not JSON")

    def _finite(self, text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            self._complain(f"the number {text[:40]} is out of range")
        return value

    def _whole(self, text: str) -> int:
        if len(text) > DIGITS_MOST or not INT_LEAST <= (value := int(text)) <= INT_MOST:
            self._complain(f"the number {text[:40]} is out of range")
            return 0
        return value


def parse_object(data: bytes | bytearray, depth_most: int) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        MalformedJson: It is none; or holds NaN, Infinity, a number out of range, a lone surrogate,
            a key twice, text after its end, more levels than ``depth_most``, or more than CONTAINERS_MOST
            arrays and objects.
    """
    check_containers(data, CONTAINERS_MOST)
    text = decode_text(data)
    decoder = _mine.decoder
    decoder.take_complaint()
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise not_json(error) from None
    except RecursionError:
        raise too_deep(depth_most) from None
    if complaint := decoder.take_complaint():
        raise MalformedJson(complaint)
    if not isinstance(value, dict):
        msg = "the body must be a JSON object"
        raise MalformedJson(msg)
    check_value(value, depth_most, escaped="\\u" in text)
    return value


class _OfThread(threading.local):
    """A decoder and what it scans with hold each other: one a submission would be garbage to collect."""

    def __init__(self) -> None:
        self.decoder = StrictDecoder()


_mine = _OfThread()


def decode_text(data: bytes | bytearray | memoryview, at: int = 0) -> str:
    """Decode UTF-8 that stands at byte ``at`` of the body.

    Raises:
        MalformedJson: It is none.

    """
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        msg = f"the body is not UTF-8: {error.reason} at byte {at + error.start}"
        raise MalformedJson(msg) from None


def check_containers(data: bytes | bytearray, most: int) -> None:
    """Count arrays and objects without parsing.

    Raises:
        MalformedJson: There are more than ``most``.

    """
    if data.count(b"[") + data.count(b"{") <= most:
        return
    # So many brackets may stand in strings, a body that is JSON itself, say: count without those.
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(plain.split(b'"')[::2])
    if outside.count(b"[") + outside.count(b"{") > most:
        msg = f"the body holds more than {most} arrays and objects"
        raise MalformedJson(msg)


def check_value(value: object, depth_most: int, *, escaped: bool) -> None:
    r"""Check what only the whole value shows. ``escaped``: its text holds ``\u``.

    Raises:
        MalformedJson: It has more than ``depth_most`` levels, or a lone surrogate.

    """
    for part in _parts(value):
        _check_levels([part], depth_most)
        # Only now, and part by part: the encoder goes down by calls, of which there are not many.
        if escaped:
            _check_characters(part)


def _parts(value: object) -> Iterator[object]:
    """Take a submission apart. A job nested in a job (a fallback, a child) counts its levels anew: how deep
    chains may be is another bound.
    """
    jobs = [value]
    while jobs:
        job = jobs.pop()
        if not isinstance(job, dict):
            yield job
            continue
        nested = [name for name in CHAIN_FIELDS if type(job.get(name)) is dict]
        jobs += [job[name] for name in nested]
        yield {name: child for name, child in job.items() if name not in nested} if nested else job


def _check_characters(value: object) -> None:
    try:
        # A lone surrogate survives the decoder as an escape; encoding finds it at C speed.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        msg = "a string holds a lone surrogate"
        raise MalformedJson(msg) from None


def not_json(error: json.JSONDecodeError) -> MalformedJson:
    """Say where the text stops being JSON."""
    return MalformedJson(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")


def too_deep(depth_most: int) -> MalformedJson:
    """Say that there are too many levels."""
    return MalformedJson(f"the body is nested deeper than {depth_most} levels")


def _check_levels(level: list[Any], depth_most: int) -> None:
    # One comprehension a level and no call a node: this runs over every submission.
    for _ in range(depth_most):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise too_deep(depth_most)
