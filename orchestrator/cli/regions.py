"""``ezthrottle regions``: how regions stand, and what the operator does to one."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from orchestrator.cli.client import DEFAULT_URL, ApiKey, AsJson, Url, call, milliseconds, show, table

regions = typer.Typer(
    help="Regions: how they stand (list, or no word), and for the operator drain, undrain.",
    invoke_without_command=True,
)
Region = Annotated[str, typer.Argument(help="Its name.")]


@regions.callback()
def overview(
    context: typer.Context, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False
) -> None:
    """Show which regions are up, what they have under way and how fast they are."""
    if context.invoked_subcommand is None:
        list_all(url, api_key, as_json=as_json)


@regions.command("list")
def list_all(url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Show which regions are up, what they have under way and how fast they are."""
    _tell(call("GET", url, "/regions", api_key), as_json=as_json)


@regions.command("drain")
def drain(name: Region, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Place nothing new in a region until 'undrain', restarts included. What runs there ends."""
    _tell(call("POST", url, f"{_path(name)}:drain", api_key), as_json=as_json)


@regions.command("undrain")
def undrain(name: Region, url: Url = DEFAULT_URL, api_key: ApiKey = "", *, as_json: AsJson = False) -> None:
    """Let a region take work again."""
    _tell(call("POST", url, f"{_path(name)}:undrain", api_key), as_json=as_json)


def _path(name: str) -> str:
    return f"/admin/regions/{quote(name, safe='')}"


def _tell(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(document)
        return
    rows = [
        (
            r["region"],
            "draining" if r["draining_since"] else r["health"],
            r["attempts_open"],
            milliseconds(r["mean_attempt_s"]),
            _down(r["down_s"]),
            *(_where(r["nodes"])),
            r["reason"] or "",
        )
        for r in document["regions"]
    ]
    table(_COLUMNS, rows)


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


_COLUMNS = (
    *("region", "health", "under way", "mean ms", "down s"),
    *("takes", "runs on", "version", "heard/reached s", "why not"),
)


def _down(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds else ""
