"""``ezthrottle webhooks``: those that nobody took, and sending webhooks again."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from orchestrator.cli.client import (
    DEFAULT_URL,
    USAGE_ERROR,
    ApiKey,
    AsJson,
    Cursor,
    Limit,
    Url,
    call,
    given,
    refuse,
    show,
    table,
    tell_of_more,
    when,
)

webhooks = typer.Typer(help="Webhooks that failed for good, and sending them again.", no_args_is_help=True)

Endpoint = Annotated[str, typer.Option(help="Only those to this host; with its port, unless that is 443.")]
Since = Annotated[str, typer.Option(help="Only those that failed from this time on: ISO 8601 or Unix ms.")]
Until = Annotated[str, typer.Option(help="Only those that failed before this time.")]


@webhooks.command("dead")
def dead(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    endpoint: Endpoint = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List webhooks that failed for good, newest first."""
    query = {"endpoint": endpoint, "since": _unix_ms(since), "until": _unix_ms(until)}
    query |= {"limit": limit, "cursor": cursor}
    found = call("GET", url, "/webhooks/dead", api_key, params=given(query))
    if as_json:
        show(found)
    else:
        _table(found["deliveries"])
        tell_of_more(found)


@webhooks.command("redeliver")
def redeliver(
    webhook_id: Annotated[str, typer.Argument(help="One of them, as 'dead' lists it.")] = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    job: Annotated[str, typer.Option(help="All webhooks of this job, accepted ones too.")] = "",
    endpoint: Endpoint = "",
    since: Since = "",
    until: Until = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every one that failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send webhooks again: one, a job's, or all that a filter names, some each second."""
    chosen = {"endpoint": endpoint, "since": _unix_ms(since), "until": _unix_ms(until)}
    chosen["webhook_id"] = webhook_id
    if job:
        done = call("POST", url, f"/jobs/{job}/redeliver", api_key)
    elif everything or given(chosen):
        done = call("POST", url, "/webhooks/redeliver", api_key, body=given(chosen))
    else:
        refuse("name a webhook, a --job, a filter, or --all", USAGE_ERROR)
    if as_json:
        show(done)
    else:
        more = "; there are more, ask again for them" if done.get("more") else ""
        count = done["deliveries"]
        typer.echo(f"{count} {'webhook is' if count == 1 else 'webhooks are'} being sent again{more}")


def _unix_ms(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{text!r} is no time: write 2026-01-31T12:00:00Z, or Unix ms", USAGE_ERROR)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _table(rows: list[dict[str, Any]]) -> None:
    table(("webhook_id", "endpoint", "failed", "attempts", "last"), [_row(row) for row in rows])


def _row(dead: dict[str, Any]) -> tuple[object, ...]:
    last = dead["error"] or dead["status_code"]
    return dead["webhook_id"], dead["endpoint"], when(dead["failed_at"]), dead["attempts"], last
