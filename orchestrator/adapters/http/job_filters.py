"""Filters over jobs: the same in a query (lists) and in a document (many at once)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from orchestrator.adapters.http.paging import read_named_domain, read_time, wrong
from orchestrator.adapters.http.schema import SAFE_INT_MOST, JobFilterIn
from orchestrator.domain.execution.settling import FailureCode
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.submission_bounds import KEY_LENGTH_MOST
from orchestrator.domain.webhooks.fanout import JobDelivery
from orchestrator.ports.store import JobFilter

_E = TypeVar("_E", bound=StrEnum)


def filter_in_query(customer: CustomerId | None, query: Mapping[str, str]) -> JobFilter:
    """Read the filters of a list; an empty one counts as absent.

    Raises:
        InvalidFields: One of them is wrong; it is named.
    """
    return JobFilter(
        customer=customer,
        states=_several("state", query.get("state", ""), JobState),
        domain=read_named_domain("domain", query.get("domain", "")),
        deliveries=_several("delivery", query.get("delivery", ""), JobDelivery),
        code=_code(query.get("code", "")),
        since_ms=read_time("since", query.get("since", ""), 0),
        until_ms=read_time("until", query.get("until", ""), SAFE_INT_MOST),
        idempotent_key=_key(query.get("idempotent_key", "")),
    )


def filter_in_document(customer: CustomerId, given: JobFilterIn) -> JobFilter:
    """Read the filters of a document, whose lists may be lists.

    Raises:
        InvalidFields: One of them is wrong; it is named.
    """
    plain = given.model_dump(exclude_none=True)
    texts = {
        name: ",".join(value) if isinstance(value, list) else str(value) for name, value in plain.items()
    }
    return filter_in_query(customer, texts)


def _several(field: str, text: str, kind: type[_E]) -> frozenset[_E]:
    names = [name.strip() for name in text.split(",")] if text else []
    if not {*names} <= set(kind):
        raise wrong(field, f"must be one of {', '.join(kind)}, or several with commas")
    return frozenset(kind(name) for name in names)


def _code(text: str) -> str | None:
    if text and text not in set(FailureCode):
        raise wrong("code", f"must be one of {', '.join(FailureCode)}")
    return text or None


def _key(text: str) -> str | None:
    if len(text) > KEY_LENGTH_MOST:
        raise wrong("idempotent_key", f"is longer than any key, {KEY_LENGTH_MOST} characters")
    return text or None
