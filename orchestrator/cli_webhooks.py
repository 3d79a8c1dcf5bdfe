"""``ezthrottle webhooks``: those that nobody took, and sending webhooks again."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer

TIMEOUT_S = 60.0
USAGE_ERROR = 2
REFUSED = 1

webhooks = typer.Typer(help="Webhooks that failed for good, and sending them again.", no_args_is_help=True)

Url = Annotated[str, typer.Option("--url", envvar="EZTHROTTLE_URL", help="The service.")]
ApiKey = Annotated[str, typer.Option("--api-key", envvar="EZTHROTTLE_API_KEY", help="Whose webhooks.")]
Endpoint = Annotated[str, typer.Option(help="Only those to this host, with its port if it has one.")]
Since = Annotated[str, typer.Option(help="Only those that failed from this time on: ISO 8601 or Unix ms.")]
Until = Annotated[str, typer.Option(help="Only those that failed before this time.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]
DEFAULT_URL = "http://127.0.0.1:8080"


@webhooks.command("dead")
def dead(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    endpoint: Endpoint = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(help="How many at most, newest first.")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """List webhooks that failed for good."""
    query = {"endpoint": endpoint, "since": _unix_ms(since), "until": _unix_ms(until), "limit": limit}
    found = _call("GET", url, "/webhooks/dead", api_key, params=_given(query))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _table(found["deliveries"])


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
        done = _call("POST", url, f"/jobs/{job}/redeliver", api_key)
    elif everything or _given(chosen):
        done = _call("POST", url, "/webhooks/redeliver", api_key, body=_given(chosen))
    else:
        _refuse("name a webhook, a --job, a filter, or --all", USAGE_ERROR)
    if as_json:
        typer.echo(json.dumps(done, indent=2))
    else:
        more = "; there are more, ask again for them" if done.get("more") else ""
        typer.echo(f"{done['deliveries']} webhooks are being sent again{more}")


def _call(
    method: str,
    url: str,
    path: str,
    api_key: str,
    *,
    params: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    import httpx  # noqa: PLC0415  # other commands need no HTTP client

    if not api_key:
        _refuse("an API key is needed: --api-key or EZTHROTTLE_API_KEY", USAGE_ERROR)
    headers = {"Authorization": f"Bearer {api_key}"}
    address = f"{url.rstrip('/')}/api/v1{path}"
    try:
        answer = httpx.request(
            method, address, params=params, json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
        document: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        _refuse(f"{url} does not answer as the service does: {error}", REFUSED)
    if answer.is_error:
        _refuse(str(document.get("error", answer.reason_phrase)), REFUSED)
    return document


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in ("", None)}


def _unix_ms(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _refuse(f"{text!r} is no time: write 2026-01-31T12:00:00Z, or Unix ms", USAGE_ERROR)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415  # only where somebody looks
    from rich.table import Table  # noqa: PLC0415  # the same

    table = Table("webhook_id", "endpoint", "failed", "attempts", "last", box=None)
    for row in rows:
        failed = datetime.fromtimestamp(row["failed_at"] / 1000, tz=UTC).isoformat(timespec="seconds")
        last = row["error"] or row["status_code"] or ""
        table.add_row(row["webhook_id"], row["endpoint"], failed, str(row["attempts"]), str(last))
    Console(file=sys.stdout).print(table)


def _refuse(message: str, code: int) -> NoReturn:
    typer.echo(f"ezthrottle: {message}", err=True)
    raise typer.Exit(code)
