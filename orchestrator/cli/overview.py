"""``ezthrottle regions``, ``domains`` and ``usage``: how a running service stands."""

from typing import Any

from orchestrator.cli.client import (
    DEFAULT_URL,
    ApiKey,
    AsJson,
    Cursor,
    Limit,
    Url,
    call,
    given,
    show,
    table,
    tell_of_more,
    when,
)


def regions(url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Show which regions are up, what they have under way and how fast they are."""
    document = call("GET", url, "/regions", api_key)
    if as_json:
        show(document)
        return
    rows = [
        (
            r["region"],
            r["health"],
            r["attempts_open"],
            _ms(r["mean_attempt_s"]),
            _down(r["down_s"]),
        )
        for r in document["regions"]
    ]
    table(("region", "health", "under way", "mean ms", "down s"), rows)


def domains(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show the targets that you have called: pace, queue, signals, and the breakers that are not closed."""
    document = call("GET", url, "/domains", api_key, params=given({"limit": limit, "cursor": cursor}))
    if as_json:
        show(document)
        return
    rows = [
        (
            d["domain"],
            d["pace"] and f"{d['pace']['rps']:g}",
            d["pace"] and d["pace"]["max_concurrent"],
            d["pace"] and d["pace"]["set_by"],
            d["in_flight"],
            d["waiting"],
            d["waiting_yours"],
            when(d["paused_until"]),
            ", ".join(name for name, way in d["regions"].items() if way["breaker"] != "closed"),
        )
        for d in document["domains"]
    ]
    columns = ("domain", "rps", "at once", "set by", "in flight", "waiting", "yours", "paused until")
    table((*columns, "breakers"), rows)
    signals = [(d["domain"], *_signal(signal)) for d in document["domains"] for signal in d["signals"]]
    if signals:
        table(("domain", "signal", "value", "binds", "until"), signals)
    tell_of_more(document)


def usage(url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Show your open jobs, and what was used day by day."""
    document = call("GET", url, "/usage", api_key)
    if as_json:
        show(document)
        return
    columns = ("date", "accepted", "success", "failed", "cancelled", "attempts")
    table(("customer", "open jobs", "of at most"), [_open(document)])
    table(columns, [[day[name] for name in columns] for day in document["days"]])


def _signal(signal: dict[str, Any]) -> tuple[object, ...]:
    whom = {"customer": "you", "account": f"account {signal['account']}"}.get(signal["binds"], "all")
    return signal["source"], f"{signal['kind']} {_value(signal)}".rstrip(), whom, when(signal["until"])


def _value(signal: dict[str, Any]) -> str:
    if signal["remaining"] is not None:
        return f"{signal['remaining']:g} {signal['unit']} left"
    return "" if signal["rps"] is None else f"{signal['rps']:g}/s"


def _down(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds else ""


def _open(document: dict[str, object]) -> list[object]:
    return [document[name] for name in ("customer_id", "open_jobs", "open_jobs_limit")]


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.1f}"
