"""``ezthrottle domains``: how targets stand, and what the operator does to one."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

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

domains = typer.Typer(
    help="Targets: how they stand (list, or no word), and for the operator reset, pause, resume, set.",
    invoke_without_command=True,
)
Domain = Annotated[str, typer.Argument(help="Its host, with the port if that is not 443, or a whole URL.")]
COLUMNS = ("domain", "rps", "at once", "why", "set by", "next s", "in flight", "waiting", "yours", "until")


@domains.callback()
def overview(
    context: typer.Context,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show the targets that you have called, with an admin's key all."""
    if context.invoked_subcommand is None:
        list_all(url, api_key, limit, cursor, as_json=as_json)


@domains.command("list")
def list_all(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show the targets that you have called, with an admin's key all: the pace that holds, and why."""
    document = call("GET", url, "/domains", api_key, params=given({"limit": limit, "cursor": cursor}))
    if as_json:
        show(document)
        return
    _tables(document["domains"])
    tell_of_more(document)


@domains.command("reset")
def reset(domain: Domain, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Forget what was learned of a target: paces, waits, budgets and breakers. What you set stays."""
    _act("POST", f"{_path(domain)}:reset", url, api_key, as_json=as_json)


@domains.command("pause")
def pause(domain: Domain, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Start nothing at a target until 'resume'. Its jobs wait, and keep their deadlines."""
    _act("POST", f"{_path(domain)}:pause", url, api_key, as_json=as_json)


@domains.command("resume")
def resume(domain: Domain, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Let a target go that was paused."""
    _act("POST", f"{_path(domain)}:resume", url, api_key, as_json=as_json)


@domains.command("set")
def set_pace(
    domain: Domain,
    rps: Annotated[float | None, typer.Option(help="Requests per second.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Requests in flight.")] = None,
    for_s: Annotated[
        float | None, typer.Option("--for", help="Seconds that it holds; else until lifted.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    *,
    lift: Annotated[
        bool, typer.Option("--lift", help="Let the target and its answers decide again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Set a target's pace in place of what it states and of what was learned."""
    if lift == (rps is not None or max_concurrent is not None):
        refuse("name --rps, --max-concurrent or both, or --lift what was set", USAGE_ERROR)
    until = None if for_s is None else datetime.now(UTC) + timedelta(seconds=for_s)
    until_ms = None if until is None else int(until.timestamp() * 1000)
    body = given({"rps": rps, "max_concurrent": max_concurrent, "until_ms": until_ms})
    _act("PUT", f"{_path(domain)}/pace", url, api_key, body=body, as_json=as_json)


def _act(
    method: str, path: str, url: str, api_key: str, *, body: dict[str, Any] | None = None, as_json: bool
) -> None:
    document = call(method, url, path, api_key, body=body)
    if as_json:
        show(document)
    else:
        _tables([document])


def _path(domain: str) -> str:
    return f"/domains/{quote(domain, safe=':[]')}"


def _tables(shown: list[dict[str, Any]]) -> None:
    table((*COLUMNS, "breakers"), [_row(domain) for domain in shown])
    signals = [(d["domain"], *_signal(signal)) for d in shown for signal in d["signals"]]
    if signals:
        table(("domain", "signal", "value", "binds", "until"), signals)


def _row(domain: dict[str, Any]) -> tuple[object, ...]:
    # A service of an earlier version says less.
    pace, limit = domain["pace"] or {}, domain.get("limited_by")
    return (
        domain["domain"],
        f"{pace['rps']:g}" if pace else "",
        pace.get("max_concurrent"),
        limit and f"{limit['kind']}: {limit['source']}",
        pace.get("set_by"),
        domain.get("next_start_in_s"),
        domain["in_flight"],
        domain["waiting"],
        domain["waiting_yours"],
        when(limit["until"] if limit else domain["paused_until"]),
        ", ".join(name for name, way in domain["regions"].items() if way["breaker"] != "closed"),
    )


def _signal(signal: dict[str, Any]) -> tuple[object, ...]:
    customer = signal.get("customer")
    whom = {
        "customer": customer or "you",
        "account": f"account {signal['account']}" + (f" of {customer}" if customer else ""),
    }.get(signal["binds"], "all")
    return signal["source"], f"{signal['kind']} {_value(signal)}".rstrip(), whom, when(signal["until"])


def _value(signal: dict[str, Any]) -> str:
    if signal["remaining"] is not None:
        return f"{signal['remaining']:g} {signal['unit']} left"
    return "" if signal["rps"] is None or signal["kind"] == "pause" else f"{signal['rps']:g}/s"
