"""``ezthrottle audit``: what operators did, as it stands in a data directory."""

from typing import Annotated, Any

import typer

from orchestrator.cli.client import AsJson, read_when, show, table, when
from orchestrator.cli.directory import DEFAULT_DIR, DataDir, in_directory
from orchestrator.domain.access.audit import AuditFilter, AuditLine

audit = typer.Typer(help="What operators did: who, what, when, from where.", no_args_is_help=True)
COLUMNS = ("number", "at", "act", "subject", "who", "customer", "from", "detail")


@audit.command("list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the latest first.")] = 50,
    since: Annotated[str, typer.Option(help="From this time on: 2026-01-31T12:00:00Z, or Unix ms.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    before: Annotated[int | None, typer.Option(help="Before the line of this number.")] = None,
    data_dir: DataDir = DEFAULT_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """List every key made or revoked and every act of an operator's, the latest first."""
    bounds = {"since_ms": read_when(since), "until_ms": read_when(until), "before": before}
    wanted = AuditFilter(**{name: value for name, value in bounds.items() if value is not None})
    found = in_directory(data_dir, lambda opened: opened.audit.lines(wanted, limit), must_exist=True)
    shown = [_shown(line) for line in found]
    if as_json:
        show(shown)
    else:
        told = [line | {"detail": _told(line["detail"])} for line in shown]
        table(COLUMNS, [[line[name] for name in COLUMNS] for line in told])


def _shown(line: AuditLine) -> dict[str, Any]:
    entry = line.entry
    return {
        "number": line.number,
        "at": when(entry.at_ms),
        "act": entry.act,
        "subject": entry.subject,
        "who": entry.who,
        "customer": entry.customer,
        "from": entry.origin,
        "detail": dict(entry.detail),
    }


def _told(detail: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in detail.items() if value not in (None, ""))
