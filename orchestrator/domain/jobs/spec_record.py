"""A spec as plain values, for the store and to tell payloads apart; its names are those of ``JobSpec``."""

from typing import Any

from msgspec import convert, to_builtins
from msgspec.structs import astuple, fields

from orchestrator.domain.jobs.job import Fallback, JobSpec

_NAMES_AND_DEFAULTS = tuple((field.name, field.default) for field in fields(JobSpec))
_PLAIN = (str, int, float, dict)


def spec_to_record(spec: JobSpec) -> dict[str, Any]:
    """Flatten to plain values; only what differs from its default is kept."""
    return {
        name: value if isinstance(value, _PLAIN) else _structured(value)
        for (name, default), value in zip(_NAMES_AND_DEFAULTS, astuple(spec), strict=True)
        # Most fields are as they were: what is the same object needs no look at what is equal.
        if value is not default and value != default
    }


def spec_from_record(record: dict[str, Any]) -> JobSpec:
    """Read back what ``spec_to_record`` wrote.

    Raises:
        ValueError: It is no such record, or holds a value of another type.
    """
    return convert(record, JobSpec)


def _structured(value: Any) -> Any:
    kind = type(value)
    if kind is JobSpec:
        return spec_to_record(value)
    if kind is Fallback:
        return [_structured(value.trigger), spec_to_record(value.spec)]
    # Sets have no order of their own, and equal policies are one payload; to sort costs time.
    return to_builtins(value) if kind is tuple else to_builtins(value, order="deterministic")
