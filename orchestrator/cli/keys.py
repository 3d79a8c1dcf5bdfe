"""``ezthrottle keys``: API keys in a data directory, made, listed and revoked by the operator."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.client import USAGE_ERROR, AsJson, refuse, show, table, when
from orchestrator.domain.roles import Role
from orchestrator.settings import Settings

keys = typer.Typer(help="API keys: they work before and while the service runs.", no_args_is_help=True)

DataDir = Annotated[
    Path, typer.Option(envvar="EZTHROTTLE_DATA_DIR", help="Where everything that has to survive lies.")
]
KeyId = Annotated[str, typer.Argument(help="The key's id, as 'keys list' shows it; not the key itself.")]
DEFAULT_DIR = Settings().data_dir
DEFAULT_PLAN = "pro"
COLUMNS = ("key_id", "customer", "plan", "role", "created", "revoked")


@keys.command("create")
def create(
    customer: Annotated[str, typer.Option(help="Whose key: an id such as cust_acme.")],
    plan: Annotated[
        str, typer.Option(help="The customer's plan: its weight is in --domains-file.")
    ] = DEFAULT_PLAN,
    role: Annotated[
        Role,
        typer.Option(help="submit: a customer's own jobs; admin: all customers' targets, and changing them."),
    ] = Role.SUBMIT,
    domains_file: Annotated[
        Path | None, typer.Option(help="The file whose [plans] the service weighs by.")
    ] = None,
    data_dir: DataDir = DEFAULT_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    from orchestrator.adapters.sqlite.api_keys import create_key  # noqa: PLC0415  # serve needs no SQL

    doubt = _doubt_about(plan, domains_file)
    with _opened(data_dir) as db:
        try:
            key, made = create_key(db, customer, plan, role)
        except ValueError as error:
            refuse(str(error), USAGE_ERROR)
    if doubt:
        typer.echo(f"ezthrottle: {doubt}", err=True)
    if as_json:
        names = ("key_id", "customer", "plan", "role")
        show({"api_key": key} | {name: getattr(made, name) for name in names})
    else:
        typer.echo(f"{key}\n(key id {made.key_id}; it is shown this once, so keep it safe)")


@keys.command("list")
def list_all(data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """List the keys; never the keys themselves."""
    from orchestrator.adapters.sqlite.api_keys import list_keys  # noqa: PLC0415  # serve needs no SQL

    with _opened(data_dir, must_exist=True) as db:
        rows = [
            (key.key_id, key.customer, key.plan, key.role, when(key.created_ms), when(key.revoked_ms))
            for key in list_keys(db)
        ]
    if as_json:
        show([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        table(COLUMNS, rows)


@keys.command("revoke")
def revoke(key_id: KeyId, data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """Revoke a key by its id; running services notice within seconds."""
    from orchestrator.adapters.sqlite.api_keys import revoke_key  # noqa: PLC0415  # serve needs no SQL

    with _opened(data_dir, must_exist=True) as db:
        if not revoke_key(db, key_id):
            refuse(f"there is no valid key {key_id!r}: see 'ezthrottle keys list'", USAGE_ERROR)
    if as_json:
        show({"key_id": key_id, "status": "revoked"})
    else:
        typer.echo(f"revoked {key_id}")


def _doubt_about(plan: str, domains_file: Path | None) -> str | None:
    """Say what speaks against a plan; None where nothing does."""
    from orchestrator.adapters.domains_file import load_known_domains  # noqa: PLC0415  # 'list' reads no table
    from orchestrator.domain.known_domains import BadTable  # noqa: PLC0415  # the same

    try:
        plans = load_known_domains(domains_file).weights
    except BadTable as error:
        refuse(f"--domains-file: {error}", USAGE_ERROR)
    if plan in plans or (plan == DEFAULT_PLAN and not plans):
        return None
    named = f"those named there are {', '.join(sorted(plans))}" if plans else "none is named there"
    where = "no --domains-file is given" if domains_file is None else f"--domains-file {domains_file}"
    return f"plan {plan!r} has no weight ({where}: {named}); it gets 1 permit of a turn"


@contextlib.contextmanager
def _opened(data_dir: Path, *, must_exist: bool = False) -> Iterator[sqlite3.Connection]:
    from orchestrator.adapters.sqlite.api_keys import open_keys  # noqa: PLC0415  # the same
    from orchestrator.adapters.sqlite.store import DATABASE  # noqa: PLC0415  # the same

    if must_exist and not (data_dir / DATABASE).exists():
        refuse(f"--data-dir {data_dir}: nothing lies there; 'ezthrottle keys create' makes it", USAGE_ERROR)
    try:
        with open_keys(data_dir) as db:
            yield db
    except OSError as error:
        refuse(f"--data-dir {data_dir}: {error.strerror}: name a directory to write in", USAGE_ERROR)
    except (sqlite3.Error, ValueError) as error:
        refuse(f"--data-dir {data_dir}: its database can't be used ({error})", USAGE_ERROR)
