"""``ezthrottle usage``: what a customer has open, and used."""

from typing import Annotated

import typer

from orchestrator.cli.client import (
    DEFAULT_URL,
    ApiKey,
    AsJson,
    Url,
    call,
    show,
    table,
)

_COUNTS = ("accepted", "success", "failed", "cancelled", "attempts")
OfAll = Annotated[bool, typer.Option("--all", help="Every customer's, who used most first: an operator's.")]


def usage(
    url: Url = DEFAULT_URL, api_key: ApiKey = "", *, of_all: OfAll = False, as_json: AsJson = False
) -> None:
    """Show your open jobs, and what was used day by day."""
    document = call("GET", url, "/admin/usage" if of_all else "/usage", api_key)
    if as_json:
        show(document)
        return
    if of_all:
        _lines(("customer_id", *_COUNTS), document["customers"])
        return
    table(("customer", "open jobs", "of at most"), [_open(document)])
    _lines(("date", *_COUNTS), document["days"])


def _lines(columns: tuple[str, ...], lines: list[dict[str, object]]) -> None:
    table(columns, [[line[name] for name in columns] for line in lines])


def _open(document: dict[str, object]) -> list[object]:
    return [document[name] for name in ("customer_id", "open_jobs", "open_jobs_limit")]
