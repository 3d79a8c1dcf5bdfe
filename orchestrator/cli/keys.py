"""``ezthrottle keys``: API keys in a data directory, made, listed and revoked by the operator."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from orchestrator.adapters.api_keys import make_key
from orchestrator.cli.client import USAGE_ERROR, AsJson, refuse, show, table, when
from orchestrator.domain.ids import RegionName, is_region_name
from orchestrator.domain.roles import Role
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.customers import CustomerStore
from orchestrator.ports.store import StoreFailure
from orchestrator.settings import Settings

keys = typer.Typer(help="API keys: they work before and while the service runs.", no_args_is_help=True)

DataDir = Annotated[
    Path, typer.Option(envvar="EZTHROTTLE_DATA_DIR", help="Where everything that has to survive lies.")
]
KeyId = Annotated[str, typer.Argument(help="The key's id, as 'keys list' shows it; not the key itself.")]
DEFAULT_DIR = Settings().data_dir
DEFAULT_PLAN = "pro"
COLUMNS = ("key_id", "customer", "plan", "role", "region", "created", "revoked")
REGIONS_OWN = "regions"
"""Whose keys those of regions are, where nobody is named."""

_T = TypeVar("_T")


@keys.command("create")
def create(
    customer: Annotated[
        str, typer.Option(help="Whose key: an id such as cust_acme. A region's needs none.")
    ] = "",
    plan: Annotated[
        str, typer.Option(help="The customer's plan: its weight is in --domains-file.")
    ] = DEFAULT_PLAN,
    role: Annotated[
        Role,
        typer.Option(
            help="submit: a customer's own jobs; admin: all customers' targets, and changing them; "
            "region: joins as --region."
        ),
    ] = Role.SUBMIT,
    region: Annotated[str, typer.Option(help="Which region a key of the role region is for.")] = "",
    domains_file: Annotated[
        Path | None, typer.Option(help="The file whose [plans] the service weighs by.")
    ] = None,
    data_dir: DataDir = DEFAULT_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    of_region = _checked_region(role, region)
    if not customer and of_region is None:
        refuse("--customer is needed: an id such as cust_acme", USAGE_ERROR)
    doubt = _doubt_about(plan, domains_file)
    try:
        key, made = make_key(
            customer or REGIONS_OWN, plan, role, now_ms=SystemClock().unix_ms(), region=of_region
        )
    except ValueError as error:
        refuse(str(error), USAGE_ERROR)
    _in(data_dir, lambda customers: customers.add_key(key, made))
    if doubt:
        typer.echo(f"ezthrottle: {doubt}", err=True)
    if as_json:
        names = ("key_id", "customer", "plan", "role", *(["region"] if made.region else []))
        show({"api_key": key} | {name: getattr(made, name) for name in names})
    else:
        typer.echo(f"{key}\n(key id {made.key_id}; it is shown this once, so keep it safe)")


@keys.command("list")
def list_all(data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """List the keys; never the keys themselves."""
    rows = [
        (
            key.key_id,
            key.customer,
            key.plan,
            key.role,
            key.region,
            when(key.created_ms),
            when(key.revoked_ms),
        )
        for key in _in(data_dir, lambda customers: customers.keys(), must_exist=True)
    ]
    if as_json:
        show([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        table(COLUMNS, rows)


@keys.command("revoke")
def revoke(key_id: KeyId, data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """Revoke a key by its id; running services notice within seconds."""
    if not _in(
        data_dir, lambda customers: customers.revoke_key(key_id, SystemClock().unix_ms()), must_exist=True
    ):
        refuse(f"there is no valid key {key_id!r}: see 'ezthrottle keys list'", USAGE_ERROR)
    if as_json:
        show({"key_id": key_id, "status": "revoked"})
    else:
        typer.echo(f"revoked {key_id}")


def _checked_region(role: Role, region: str) -> RegionName | None:
    if (role is Role.REGION) != bool(region):
        refuse("--region is for --role region, and that needs it", USAGE_ERROR)
    if region and not is_region_name(region):
        refuse("--region must be lower case letters, digits and '-', a letter first", USAGE_ERROR)
    return RegionName(region) if region else None


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


def _in(data_dir: Path, do: Callable[[CustomerStore], Awaitable[_T]], *, must_exist: bool = False) -> _T:
    """Do something with a data directory's customers, or say why that can't be."""
    from orchestrator.adapters.stores import is_in_use, open_customers  # noqa: PLC0415  # serve needs no SQL

    async def done() -> _T:
        async with open_customers(data_dir) as customers:
            return await do(customers)

    if must_exist and not is_in_use(data_dir):
        refuse(f"--data-dir {data_dir}: nothing lies there; 'ezthrottle keys create' makes it", USAGE_ERROR)
    try:
        return asyncio.run(done())
    except OSError as error:
        refuse(f"--data-dir {data_dir}: {error.strerror}: name a directory to write in", USAGE_ERROR)
    except (StoreFailure, ValueError) as error:
        refuse(f"--data-dir {data_dir}: its database can't be used ({error})", USAGE_ERROR)
