"""Which jobs are meant, as the queries and bodies of the API say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from ezthrottle.types.jobs import DeliveryState, JobState


class JobFilters(TypedDict, total=False):
    """The filters that `list_jobs`, `cancel_jobs` and `replay_jobs` take by name. None is no filter."""

    domain: str | None
    """A target: its host, with its port unless that is 443."""
    delivery: DeliveryState | Sequence[DeliveryState] | None
    """How far its webhooks are; several mean any of them."""
    code: str | None
    """Of a failure, such as "timeout"."""
    since: int | None
    """Accepted then or later, Unix ms."""
    until: int | None
    """Accepted before then, Unix ms."""
    idempotent_key: str | None


def filters_of(
    operation: str,
    filters: JobFilters,
    state: JobState | Collection[JobState] | None,
    limit: int | None,
    cursor: str | None,
) -> dict[str, Any]:
    """Return the filters that are given, several states with commas; raises TypeError for an unknown one."""
    refuse_unknown(operation, filters, JobFilters.__annotations__)
    several = {"state": joined(state), "delivery": joined(filters.get("delivery"))}
    return given(**{**filters, **several, "limit": limit, "cursor": cursor})


def refuse_unknown(operation: str, arguments: Mapping[str, object], known: Collection[str]) -> None:
    """Raise TypeError where there is a keyword argument that is not known, as Python does."""
    for name in arguments:
        if name not in known:
            raise TypeError(f"{operation}() got an unexpected keyword argument {name!r}")


def given(**values: Any) -> dict[str, Any]:
    """Return those values that are there.

    >>> given(limit=5, cursor=None)
    {'limit': 5}
    """
    return {name: value for name, value in values.items() if value is not None}


def joined(values: str | Collection[str] | None) -> str | None:
    """Return several values as a query takes them.

    >>> joined(["queued", "running"])
    'queued,running'
    """
    return values if values is None or isinstance(values, str) else ",".join(values)
