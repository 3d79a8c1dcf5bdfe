"""The JSON form of a job, built alike for `submit_job` and for `Step`."""

from __future__ import annotations

import base64
import datetime as dt
import json
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The service assumes these, so they are left out of the payload.
_ASSUMED: Mapping[str, Any] = {"webhook_quorum": 1, "region_policy": "fallback", "execution_mode": "race"}

# Zero means something in these; in all other fields an empty value is the same as none.
_ZERO_COUNTS = frozenset(
    {"retry_at", "on_failure_timeout_ms", "priority", "timeout_ms", "deadline_ms", "cost"}
)

_TEXT = "give text"
_AN_OBJECT = "give a dict"
_A_NUMBER = "give a number"
_IN_MS = "give Unix milliseconds, or use Step's .at(datetime) or .delay(seconds)"

_REQUIRED = frozenset({"url", "method"})

# What a field must be, and what to give instead. JSON would take some of these, and mean something else.
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "url": (str, _TEXT),
    "method": (str, _TEXT),
    "headers": (Mapping, _AN_OBJECT),
    "body": ((str, bytes, bytearray), "give text or bytes, or use Step's .json(...)"),
    "body_encoding": (str, _TEXT),
    "metadata": (Mapping, _AN_OBJECT),
    "webhooks": (Sequence, 'give a list of dicts, such as [{"url": "https://app.example.com/hook"}]'),
    "webhook_quorum": (numbers.Real, _A_NUMBER),
    "regions": (Sequence, 'give a list, such as ["iad"]'),
    "region_policy": (str, _TEXT),
    "execution_mode": (str, _TEXT),
    "retry_policy": (Mapping, _AN_OBJECT),
    "fallback_job": (Mapping, "give a job as a dict, or use Step"),
    "on_success": (Mapping, "give a job as a dict, or use Step"),
    "on_failure": (Mapping, "give a job as a dict, or use Step"),
    "on_failure_timeout_ms": (numbers.Real, "give milliseconds"),
    "idempotent_key": (str, _TEXT),
    "retry_at": (numbers.Real, _IN_MS),
    "priority": (numbers.Real, _A_NUMBER),
    "timeout_ms": (numbers.Real, "give milliseconds"),
    "deadline_ms": (numbers.Real, "give milliseconds"),
    "guarantee": (str, _TEXT),
    "cost": (numbers.Real, _A_NUMBER),
    "account": (str, _TEXT),
    "hedge": (Mapping, 'give a dict, such as {"quantile": 0.95, "budget": 0.1}'),
}


def checked(name: str, value: Any) -> Any:
    """Return a field's value, lists and dicts in it copied; raises TypeError, which names the field.

    >>> checked("regions", "iad")
    Traceback (most recent call last):
    TypeError: regions is a str: give a list, such as ["iad"]
    """
    kinds, instead = _KINDS[name]
    is_text = isinstance(value, (str, bytes)) and kinds is Sequence
    if is_text or not (isinstance(value, kinds) or (value is None and name not in _REQUIRED)):
        raise TypeError(f"{name} is a {type(value).__name__}: {instead}")
    return copied(value)


def job_payload(url: str, method: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job with only those `fields` in it that say something; raises as `checked` does."""
    payload: dict[str, Any] = {"url": checked("url", url), "method": checked("method", method).upper()}
    for name, value in fields.items():
        if _says_something(name, value):
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


def _says_something(name: str, value: Any) -> bool:
    if name in _ASSUMED:
        return bool(value != _ASSUMED[name])
    if name in _ZERO_COUNTS:
        return value is not None
    return bool(value)


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
