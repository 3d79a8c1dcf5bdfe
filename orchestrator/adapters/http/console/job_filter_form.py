"""The filters of the jobs page: those of the API's list, with spans of time that people say."""

from collections.abc import Mapping
from datetime import UTC, datetime

from orchestrator.adapters.http.console.visit import Visit
from orchestrator.adapters.http.job_filters import filter_in_query
from orchestrator.adapters.http.paging import read_customer, wrong
from orchestrator.ports.store import JobFilter

MINUTE_MS = 60_000
SPANS: Mapping[str, tuple[str, int]] = {
    "15m": ("last 15 minutes", 15 * MINUTE_MS),
    "1h": ("last hour", 60 * MINUTE_MS),
    "24h": ("last 24 hours", 24 * 60 * MINUTE_MS),
    "7d": ("last 7 days", 7 * 24 * 60 * MINUTE_MS),
}
FIELDS_OF_TIME = ("within", "since", "until")
FIELDS = ("state", "domain", "delivery", "code", "within", "since", "until", "idempotent_key", "customer")


def asked_for(visit: Visit) -> dict[str, str]:
    """Give the filters that are set, by their names; of one that is given several times all, with commas."""
    given = visit.form or {name: ",".join(visit.query.getlist(name)) for name in FIELDS}
    asked = {name: given[name] for name in FIELDS if given.get(name, "").strip(", ")}
    if not visit.caller.admin:
        asked.pop("customer", None)
    return asked


def filter_of(visit: Visit, asked: Mapping[str, str]) -> JobFilter:
    """Read the filters; whose jobs are meant is the visitor's own matter, or an operator's choice.

    Raises:
        InvalidFields: One of them is wrong; it is named.
    """
    customer = visit.whose and read_customer("customer", visit.whose)
    if customer is None and asked.get("idempotent_key"):
        raise wrong("idempotent_key", "is a customer's own: name the customer as well")
    return filter_in_query(customer, {**asked, **times_of(asked, visit.now_ms)})


def times_of(asked: Mapping[str, str], now_ms: int) -> dict[str, str]:
    """Read from when, and until when: Unix ms, as the API's lists are given them.

    Raises:
        InvalidFields: One of them is wrong; it is named.
    """
    times = {name: _time(name, asked[name]) for name in ("since", "until") if asked.get(name)}
    if within := asked.get("within"):
        if within not in SPANS:
            raise wrong("within", f"must be one of {', '.join(SPANS)}")
        times["since"] = str(now_ms - SPANS[within][1])
    return times


def window_of(asked: Mapping[str, str]) -> str:
    """Say of which time the jobs are."""
    if within := asked.get("within"):
        return SPANS[within][0]
    ends = [
        f"{word} {asked[name]} UTC" for name, word in (("since", "from"), ("until", "until")) if name in asked
    ]
    return " ".join(ends) or "all that is kept"


def _time(field: str, text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise wrong(field, "must be a time (UTC) such as 2026-01-31T14:05") from None
    return str(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))
