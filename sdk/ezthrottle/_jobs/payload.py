"""The JSON form of a job, built alike for `submit_job` and for `Step`."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ezthrottle._jobs.fields import FIELDS

_REQUIRED = frozenset({"url", "method"})


def checked(name: str, value: Any) -> Any:
    """Return a field's value, lists and dicts in it copied; raises TypeError, which names the field.

    >>> checked("regions", "iad")
    Traceback (most recent call last):
    TypeError: regions is a str: give a list, such as ["iad"]
    """
    field = FIELDS[name]
    if not (field.takes(value) or (value is None and name not in _REQUIRED)):
        raise TypeError(f"{name} is a {type(value).__name__}: {field.instead}")
    return copied(value)


def job_payload(url: str, method: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job with only those `fields` in it that say something; raises as `checked` does."""
    payload: dict[str, Any] = {"url": checked("url", url), "method": checked("method", method).upper()}
    for name, value in fields.items():
        if FIELDS[name].says_something(value):
            payload[name] = checked(name, value)
    body = payload.get("body")
    if isinstance(body, (bytes, bytearray)):
        payload.update(body=base64.b64encode(body).decode(), body_encoding="base64")
    return payload


def encoded(payload: Mapping[str, Any]) -> bytes:
    """Return the job as JSON; raises TypeError or ValueError, which names the field that is none.

    >>> encoded({"url": "https://api.example.com", "metadata": {"at": {1, 2}}})
    Traceback (most recent call last):
    TypeError: metadata.at: Object of type set is not JSON serializable
    """
    try:
        return _write(payload)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{_guilty(payload)}: {error}") from None


def unix_ms(when: dt.datetime) -> int:
    """Return a moment in Unix ms; raises TypeError or ValueError where it is none."""
    if not isinstance(when, dt.datetime):
        raise TypeError(f"at() takes a datetime, and got a {type(when).__name__}")
    if when.tzinfo is None:
        raise ValueError("at() takes a datetime with a time zone, such as datetime.now(timezone.utc)")
    return int(when.timestamp() * 1000)


def copied(value: Any) -> Any:
    """Return the value, lists and dicts in it copied."""
    if isinstance(value, Mapping):
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, (list, tuple)) else value


def _write(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _guilty(value: Any) -> str:
    """Return the path of the first part that is no JSON."""
    guilty = ((name, part) for name, part in _parts(value) if not _is_json({name: part}))
    name, part = next(guilty, ("", None))
    return f"{name}.{_guilty(part)}".rstrip(".") if part is not None else ""


def _is_json(value: Any) -> bool:
    try:
        _write(value)
    except (TypeError, ValueError):
        return False
    return True


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()
