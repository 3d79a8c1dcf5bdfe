"""What the commands share that speak to a running service: the call, its errors, and tables."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from ezthrottle import EZThrottle, EZThrottleError

TIMEOUT_S = 60.0
USAGE_ERROR = 2
REFUSED = 1
PIPED_WIDTH = 240
DEFAULT_URL = "http://127.0.0.1:8080"
API = "/api/v1"
ANSWERS = frozenset(
    {"job_id", "jobs", "regions", "domains", "domain", "open_jobs", "deliveries", "customers", "status"}
)
"""Each answer of the service has one of these."""

Url = Annotated[
    str, typer.Option("--url", envvar="EZTHROTTLE_URL", help="The EZThrottle service, not the target.")
]
ApiKey = Annotated[
    str,
    typer.Option(
        "--api-key",
        envvar="EZTHROTTLE_API_KEY",
        help="Your API key. Other users of this machine may see options: the variable is safer.",
    ),
]
Limit = Annotated[int, typer.Option(help="How many at most, 1 to 200.")]
Cursor = Annotated[str, typer.Option(help="Where the page before ended.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]

_COLOURS = {
    "success": "green",
    "up": "green",
    "delivered": "green",
    "completed": "green",
    "quorum_met": "green",
    "failed": "red",
    "down": "red",
    "open": "red",
    "cancelled": "yellow",
    "suspect": "yellow",
    "draining": "yellow",
    "half_open": "yellow",
    "running": "cyan",
    "dispatching": "cyan",
}
_REMEDIES = {
    401: "set EZTHROTTLE_API_KEY or --api-key; 'ezthrottle keys create' makes one",
    429: "try again later",
    503: "try again in a moment",
}


def call(
    method: str,
    url: str,
    path: str,
    api_key: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """Ask the service; end the command with a message that says what to do where it refuses."""
    with service(url, api_key, timeout_s) as client:
        document = client.call(method, f"{API}{path}", params=params, json=body)
    if ANSWERS.isdisjoint(document):
        refuse(f"{url} does not answer as the service does: that is another server")
    return document


@contextmanager
def service(url: str, api_key: str, timeout_s: float = TIMEOUT_S) -> Iterator["EZThrottle"]:
    """Give the SDK's client; end the command with a message that says what to do where a call of it fails."""
    from ezthrottle import EZThrottle, EZThrottleError  # noqa: PLC0415  # other commands need no HTTP client

    if not api_key:
        refuse(f"an API key is needed: {_REMEDIES[401]}", USAGE_ERROR)
    try:
        with EZThrottle(api_key, base_url=url, timeout=timeout_s, max_attempts=1) as client:
            yield client
    except EZThrottleError as error:
        refuse(_told(url, error))
    except ValueError as error:
        refuse(f"--url: {error}", USAGE_ERROR)


def _told(url: str, error: "EZThrottleError") -> str:
    """Say why the service refused: every wrong field, else its one line, and a remedy."""
    if isinstance(error, OSError):
        why = error.__cause__ or error
        return f"{url} can't be reached ({why}): is the service running? Or set EZTHROTTLE_URL or --url"
    if error.status_code is None:
        return str(error)
    if error.reason is None:
        return f"{url} does not answer as the service does: {error}"
    remedy = _REMEDIES.get(error.status_code)
    return f"{error.reason} ({remedy})" if remedy else error.reason


def refuse(message: str, code: int = REFUSED) -> NoReturn:
    """End the command with a message."""
    typer.echo(f"ezthrottle: {message}", err=True)
    raise typer.Exit(code)


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given."""
    return {name: value for name, value in fields.items() if value not in ("", None, [], {})}


def show(document: object) -> None:
    """Write JSON."""
    typer.echo(json.dumps(document, indent=2))


def tell(document: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """Say what was done."""
    if as_json:
        show(document)
    else:
        typer.echo(words)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table; states have colours on a terminal."""
    from rich.console import Console  # noqa: PLC0415  # only where somebody looks
    from rich.table import Table  # noqa: PLC0415  # the same
    from rich.text import Text  # noqa: PLC0415  # the same

    drawn = Table(*columns, box=None, header_style="bold", show_header=any(columns))
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        drawn.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in cells))
    # Cut to a terminal's width, lines in a pipe would lose their ends.
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(file=sys.stdout, width=width, highlight=False).print(drawn)


def tell_of_more(page: Mapping[str, Any]) -> None:
    """Say how to see the next page, where there is one."""
    if page["next_cursor"]:
        typer.echo(f"more: --cursor {page['next_cursor']}", err=True)


def read_when(text: str) -> int | None:
    """Read a time as people write it, or Unix ms; end the command where it is none."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{text!r} is no time: write 2026-01-31T12:00:00Z, or Unix ms", USAGE_ERROR)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def when(unix_ms: int | None) -> str:
    """Write a time for people: ISO 8601, UTC."""
    if unix_ms is None:
        return ""
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC).isoformat(timespec="seconds")


def milliseconds(seconds: float | None) -> str | None:
    """Write a time for people, in ms."""
    return None if seconds is None else f"{seconds * 1000:.1f}"
