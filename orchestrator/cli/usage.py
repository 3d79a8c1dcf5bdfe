"""``ezthrottle usage``: what a customer has open, and used."""

from orchestrator.cli.client import (
    DEFAULT_URL,
    ApiKey,
    AsJson,
    Url,
    call,
    show,
    table,
)


def usage(url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Show your open jobs, and what was used day by day."""
    document = call("GET", url, "/usage", api_key)
    if as_json:
        show(document)
        return
    columns = ("date", "accepted", "success", "failed", "cancelled", "attempts")
    table(("customer", "open jobs", "of at most"), [_open(document)])
    table(columns, [[day[name] for name in columns] for day in document["days"]])


def _open(document: dict[str, object]) -> list[object]:
    return [document[name] for name in ("customer_id", "open_jobs", "open_jobs_limit")]
