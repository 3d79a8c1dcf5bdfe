"""``ezthrottle keys``: API keys in a data directory, made, listed and revoked by the operator."""

import re
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.adapters.api_keys import OWNERS_OF_NO_CUSTOMER, make_key
from orchestrator.cli.client import USAGE_ERROR, AsJson, read_when, refuse, show, table, when
from orchestrator.cli.directory import DEFAULT_DIR, DataDir, in_directory, made_here
from orchestrator.domain.access.api_keys import DEFAULT_PLAN, checked_customer
from orchestrator.domain.access.audit import Act
from orchestrator.domain.access.roles import Role
from orchestrator.domain.ids import RegionName, is_region_name
from orchestrator.ports.clock import SystemClock
from orchestrator.ports.customers import ApiKey, terms_of

keys = typer.Typer(help="API keys: they work before and while the service runs.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="The key's id, as 'keys list' shows it; not the key itself.")]
Customer = Annotated[
    str, typer.Option(help="Whose key: an id such as cust_acme. An admin's and a region's need none.")
]
Plan = Annotated[str, typer.Option(help="The customer's plan: its weight is in --domains-file.")]
KeyRole = Annotated[
    Role,
    typer.Option(
        help="submit: a customer's own, secrets included; read: the same to look at, without bodies; "
        "admin: all customers, and what changes the service; region: joins as --region."
    ),
]
OfRegion = Annotated[str, typer.Option(help="Which region a key of the role region is for.")]
Label = Annotated[str, typer.Option(help="What people call it; 'keys list' shows it.")]
Expires = Annotated[
    str, typer.Option(help="When it ceases to be valid: 90d, 12h, 2026-12-31, or Unix ms; never if left out.")
]
DomainsFile = Annotated[Path | None, typer.Option(help="The file whose [plans] the service weighs by.")]
COLUMNS = (
    "key_id",
    "customer",
    "plan",
    "role",
    "region",
    "label",
    "created",
    "expires",
    "last_used",
    "revoked",
)
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_SPAN_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@keys.command("create")
def create(
    customer: Customer = "",
    plan: Plan = DEFAULT_PLAN,
    role: KeyRole = Role.SUBMIT,
    region: OfRegion = "",
    label: Label = "",
    expires: Expires = "",
    domains_file: DomainsFile = None,
    data_dir: DataDir = DEFAULT_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    of_region = _checked_region(role, region)
    if not customer and role not in OWNERS_OF_NO_CUSTOMER:
        refuse("--customer is needed: an id such as cust_acme", USAGE_ERROR)
    doubt, now_ms = _doubt_about(plan, domains_file), SystemClock().unix_ms()
    try:
        key, made = make_key(
            customer,
            plan,
            role,
            now_ms=now_ms,
            region=of_region,
            label=label,
            expires_ms=_read_expiry(expires, now_ms),
        )
    except ValueError as error:
        refuse(str(error), USAGE_ERROR)
    entry = made_here(Act.KEY_CREATED, made.key_id, **terms_of(made))
    in_directory(data_dir, lambda opened: opened.customers.add_key(key, made, entry))
    if doubt:
        typer.echo(f"ezthrottle: {doubt}", err=True)
    _show_once(key, made, as_json=as_json)


def _show_once(key: str, made: ApiKey, *, as_json: bool) -> None:
    if as_json:
        show({"api_key": key} | _shown(made))
    else:
        typer.echo(f"{key}\n(key id {made.key_id}; it is shown this once, so keep it safe)")


@keys.command("list")
def list_all(data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """List the keys, with the hour in which each was last used; never the keys themselves."""
    shown = [
        _shown(key) for key in in_directory(data_dir, lambda opened: opened.customers.keys(), must_exist=True)
    ]
    if as_json:
        show(shown)
    else:
        table(COLUMNS, [[key[name] for name in COLUMNS] for key in shown])


@keys.command("revoke")
def revoke(key_id: KeyId, data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """Revoke a key by its id; running services notice within seconds."""
    entry = made_here(Act.KEY_REVOKED, key_id)
    if not in_directory(data_dir, lambda opened: opened.customers.revoke_key(key_id, entry), must_exist=True):
        refuse(f"there is no valid key {key_id!r}: see 'ezthrottle keys list'", USAGE_ERROR)
    if as_json:
        show({"key_id": key_id, "status": "revoked"})
    else:
        typer.echo(f"revoked {key_id}")


@keys.command("plan")
def set_plan(
    customer: Annotated[str, typer.Argument(help="Whose plan: an id such as cust_acme.")],
    plan: Annotated[str, typer.Argument(help="The plan: its weight is in --domains-file.")],
    domains_file: DomainsFile = None,
    data_dir: DataDir = DEFAULT_DIR,
    *,
    as_json: AsJson = False,
) -> None:
    """Give all valid keys of a customer a plan; running services weigh by it within ten seconds."""
    doubt = _doubt_about(plan, domains_file)
    try:
        whose = checked_customer(customer)
    except ValueError as error:
        refuse(str(error), USAGE_ERROR)
    entry = made_here(Act.PLAN_SET, whose, plan=plan)
    count = in_directory(
        data_dir, lambda opened: opened.customers.set_plan(whose, plan, entry), must_exist=True
    )
    if not count:
        refuse(f"customer {whose!r} has no valid key: see 'ezthrottle keys list'", USAGE_ERROR)
    if doubt:
        typer.echo(f"ezthrottle: {doubt}", err=True)
    if as_json:
        show({"customer": whose, "plan": plan, "keys": count})
    else:
        typer.echo(f"{whose} is on the plan {plan} ({count} valid {'key' if count == 1 else 'keys'})")


def _shown(key: ApiKey) -> dict[str, str | None]:
    return {
        "key_id": key.key_id,
        "customer": key.customer,
        "plan": key.plan,
        "role": key.role,
        "region": key.region,
        "label": key.label,
        "created": when(key.created_ms),
        "expires": when(key.expires_ms),
        "last_used": when(key.used_ms),
        "revoked": when(key.revoked_ms),
    }


def _read_expiry(text: str, now_ms: int) -> int | None:
    """Read a span of time from now on, or a moment (Unix ms)."""
    if (span := _SPAN.fullmatch(text)) is not None:
        return now_ms + int(span[1]) * _SPAN_MS[span[2]]
    return read_when(text)


def _checked_region(role: Role, region: str) -> RegionName | None:
    if (role is Role.REGION) != bool(region):
        refuse("--region is for --role region, and that needs it", USAGE_ERROR)
    if region and not is_region_name(region):
        refuse("--region must be lower case letters, digits and '-', a letter first", USAGE_ERROR)
    return RegionName(region) if region else None


def _doubt_about(plan: str, domains_file: Path | None) -> str | None:
    """Say what speaks against a plan; None where nothing does."""
    from orchestrator.adapters.domains_file import load_known_domains  # noqa: PLC0415  # 'list' reads no table
    from orchestrator.domain.pace.known_domains import BadTable  # noqa: PLC0415  # the same

    try:
        plans = load_known_domains(domains_file).weights
    except BadTable as error:
        refuse(f"--domains-file: {error}", USAGE_ERROR)
    if plan in plans or (plan == DEFAULT_PLAN and not plans):
        return None
    named = f"those named there are {', '.join(sorted(plans))}" if plans else "none is named there"
    where = "no --domains-file is given" if domains_file is None else f"--domains-file {domains_file}"
    return f"plan {plan!r} has no weight ({where}: {named}); it gets 1 permit of a turn"
