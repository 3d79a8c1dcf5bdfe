"""JSON as it is sent and kept: compact, in UTF-8."""

import json
from typing import Any

import msgspec


def json_bytes(document: Any) -> bytes:
    """Write a document of plain values.

    A lone surrogate, which UTF-8 has no bytes for, is written as JSON's escape (RFC 8259, 7): nothing that a
    customer or a target sent may break an answer or an end.
    """
    try:
        return _encode(document)
    except UnicodeEncodeError:
        return _lenient(document).encode(errors="backslashreplace")


_encode = msgspec.json.Encoder().encode
_lenient = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
