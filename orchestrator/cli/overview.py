"""``ezthrottle regions`` and ``usage``: how a running service stands."""

from typing import Any

from orchestrator.cli.client import (
    DEFAULT_URL,
    ApiKey,
    AsJson,
    Url,
    call,
    show,
    table,
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
            *(_where(r["nodes"])),
            r["reason"] or "",
        )
        for r in document["regions"]
    ]
    table(_REGION_COLUMNS, rows)


def usage(url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Show your open jobs, and what was used day by day."""
    document = call("GET", url, "/usage", api_key)
    if as_json:
        show(document)
        return
    columns = ("date", "accepted", "success", "failed", "cancelled", "attempts")
    table(("customer", "open jobs", "of at most"), [_open(document)])
    table(columns, [[day[name] for name in columns] for day in document["days"]])


def _where(nodes: list[dict[str, Any]]) -> list[str]:
    """Show, of all nodes of a region, which jobs they take, machine, version, and the seconds since each way
    was heard.
    """
    return [
        " ".join("named" if node["only_named"] else "any" for node in nodes),
        " ".join(" ".join(filter(None, (node["host"], node["address"]))) or "-" for node in nodes),
        " ".join(node["version"] or "-" for node in nodes),
        " ".join(f"{_seconds(node['heard_s'])}/{_seconds(node['reached_s'])}" for node in nodes),
    ]


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


_REGION_COLUMNS = (
    *("region", "health", "under way", "mean ms", "down s"),
    *("takes", "runs on", "version", "heard/reached s", "why not"),
)


def _down(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds else ""


def _open(document: dict[str, object]) -> list[object]:
    return [document[name] for name in ("customer_id", "open_jobs", "open_jobs_limit")]


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.1f}"
