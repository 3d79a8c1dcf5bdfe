"""The JSON form of a job, built alike for `submit_job` and for `Step`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The service assumes these, so they are left out of the payload.
_ASSUMED: Mapping[str, Any] = {"webhook_quorum": 1, "region_policy": "fallback", "execution_mode": "race"}

# Zero means something in these; in all other fields an empty value is the same as none.
_ZERO_COUNTS = frozenset(
    {"retry_at", "on_failure_timeout_ms", "priority", "timeout_ms", "deadline_ms", "cost"}
)


def job_payload(url: str, method: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job with only those `fields` in it that say something."""
    payload: dict[str, Any] = {"url": url, "method": method.upper()}
    payload.update((name, value) for name, value in fields.items() if _says_something(name, value))
    return payload


def _says_something(name: str, value: Any) -> bool:
    if name in _ASSUMED:
        return bool(value != _ASSUMED[name])
    if name in _ZERO_COUNTS:
        return value is not None
    return bool(value)
