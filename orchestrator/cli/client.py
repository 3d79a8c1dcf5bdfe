"""What the commands share that speak to a running service: the call, its errors, and tables."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 60.0
USAGE_ERROR = 2
REFUSED = 1
PIPED_WIDTH = 240
DEFAULT_URL = "http://127.0.0.1:8080"
API = "/api/v1"
ANSWERS = frozenset({"job_id", "jobs", "regions", "domains", "domain", "open_jobs", "deliveries", "status"})
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
    import httpx  # noqa: PLC0415  # other commands need no HTTP client

    with reaching(url), httpx.Client(trust_env=False, timeout=timeout_s) as client:
        answer = client.request(method, f"{base(url)}{path}", params=params, json=body, headers=auth(api_key))
        if answer.is_error:
            refuse_answer(answer)
        document: dict[str, Any] = answer.json()
        if ANSWERS.isdisjoint(document):
            msg = "that is another server"
            raise ValueError(msg)
    return document


def base(url: str) -> str:
    """Give the address that API paths are appended to."""
    return f"{url.rstrip('/')}{API}"


def auth(api_key: str) -> dict[str, str]:
    """Give the header that names the customer; end the command where there is no key."""
    if not api_key:
        refuse(f"an API key is needed: {_REMEDIES[401]}", USAGE_ERROR)
    if not api_key.isascii() or not api_key.isprintable():
        refuse(f"the API key holds characters that no key has: {_REMEDIES[401]}", USAGE_ERROR)
    return {"Authorization": f"Bearer {api_key}"}


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """End the command with a message where the service does not answer, or not as it should."""
    import httpx  # noqa: PLC0415  # the same

    try:
        yield
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        refuse(f"{url} can't be reached ({error}): is the service running? Or set EZTHROTTLE_URL or --url")
    except (httpx.HTTPError, ValueError) as error:
        refuse(f"{url} does not answer as the service does: {error}")


def refuse_answer(answer: "httpx.Response") -> NoReturn:
    """Say why the service refused: every wrong field, else its one line, and a remedy."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    fields = [f"{error['field']}: {error['message']}" for error in problem.get("errors", ())]
    told = "; ".join(fields) or str(problem.get("error") or answer.reason_phrase)
    remedy = _REMEDIES.get(answer.status_code)
    refuse(f"{told} ({remedy})" if remedy else told)


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
