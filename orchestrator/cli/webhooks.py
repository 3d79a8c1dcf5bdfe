"""``ezthrottle webhooks``: those that fail now, those that nobody took, and sending webhooks again."""

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
    read_when,
    refuse,
    show,
    table,
    tell_of_more,
    when,
)

webhooks = typer.Typer(
    help="Webhooks that fail now or failed for good, and sending them again.", no_args_is_help=True
)

Endpoint = Annotated[str, typer.Option(help="Only those to this host; with its port, unless that is 443.")]
Since = Annotated[str, typer.Option(help="Only those that failed from this time on: ISO 8601 or Unix ms.")]
Until = Annotated[str, typer.Option(help="Only those that failed before this time.")]


@webhooks.command("pending")
def pending(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    endpoint: Endpoint = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List webhooks that are still to be made: whom they go to and why they fail, then one by one."""
    query = given({"endpoint": endpoint, "limit": limit, "cursor": cursor})
    found = call("GET", url, "/webhooks/pending", api_key, params=query)
    if as_json:
        show(found)
        return
    endpoints = [
        (e["endpoint"], e["deliveries"], e["failing"], when(e["next_at"]), e["error"] or e["status_code"])
        for e in found["endpoints"]
    ]
    table(("endpoint", "waiting", "failing", "next", "last"), endpoints)
    rows = [
        (d["webhook_id"], d["endpoint"], d["attempts"], when(d["next_at"]), d["error"] or d["status_code"])
        for d in found["deliveries"]
    ]
    table(("webhook_id", "endpoint", "attempts", "next", "last"), rows)
    tell_of_more(found)


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
    query = {"endpoint": endpoint, "since": read_when(since), "until": read_when(until)}
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
    everything: Annotated[
        bool, typer.Option("--all", help="Every one that failed; with --job, whosever it is: an operator's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send webhooks again: one, a job's, or all that a filter names, some each second."""
    chosen = {"endpoint": endpoint, "since": read_when(since), "until": read_when(until)}
    chosen["webhook_id"] = webhook_id
    if job:
        done = call("POST", url, f"{'/admin' if everything else ''}/jobs/{job}/redeliver", api_key)
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


def _table(rows: list[dict[str, Any]]) -> None:
    table(("webhook_id", "endpoint", "failed", "attempts", "last"), [_row(row) for row in rows])


def _row(dead: dict[str, Any]) -> tuple[object, ...]:
    last = dead["error"] or dead["status_code"]
    return dead["webhook_id"], dead["endpoint"], when(dead["failed_at"]), dead["attempts"], last
