"""``ezthrottle region``: be a region without Ray, from a machine that need not be reached."""

import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.client import USAGE_ERROR, refuse
from orchestrator.domain.ids import is_region_name

if TYPE_CHECKING:
    from regions.guard import AddressPolicy

OTHERS_MAY_READ = 0o044


Name = Annotated[str, typer.Option(help="Which region this is: the one that the token is for.")]
Join = Annotated[
    list[str], typer.Option(help="https://HOST:PORT of the service's --agents-bind; twice for two ways.")
]
TokenFile = Annotated[
    Path, typer.Option(help="A file whose first line is a region's key: 'keys create --role region'.")
]
Authorities = Annotated[
    Path | None, typer.Option(help="Authorities for the service's certificate, in PEM; the system's else.")
]
Node = Annotated[str, typer.Option(help="What this agent is called among the region's.")]
AllowTargets = Annotated[
    str, typer.Option(help="Also call these networks, which are refused otherwise: CIDR,CIDR,…")
]
OnlyNamed = Annotated[bool, typer.Option(help="Take only jobs that name this region; stand in for no other.")]
AllowPrivate = Annotated[bool, typer.Option(help="Call private and loopback addresses: for development.")]


def region(
    name: Name,
    join: Join,
    token_file: TokenFile,
    ca: Authorities = None,
    node: Node = "",
    allow_targets: AllowTargets = "",
    *,
    only_named: OnlyNamed = False,
    allow_private_targets: AllowPrivate = False,
) -> None:
    """Run requests and send webhooks for a service elsewhere, as one of its regions."""
    from regions.agent import AgentOptions, be_region, read_gateway  # noqa: PLC0415  # others are no region

    if not is_region_name(name):
        refuse("--name must be lower case letters, digits and '-', a letter first", USAGE_ERROR)
    try:
        gateways = tuple(read_gateway(url, ca) for url in join)
    except (ValueError, OSError) as error:
        refuse(f"--join, --ca: {error}", USAGE_ERROR)
    options = AgentOptions(
        region=name,
        node=node or f"{socket.gethostname()[:40]}-{secrets.token_hex(3)}",
        token=_token(token_file),
        gateways=gateways,
        policy=_policy(allow_targets, allow_private=allow_private_targets),
        only_named=only_named,
    )
    if reason := be_region(options):
        refuse(f"no gateway lets this region in: {reason}", USAGE_ERROR)


def _token(path: Path) -> str:
    try:
        token = path.read_text("utf-8").partition("\n")[0].strip()
        open_to_others = path.stat().st_mode & OTHERS_MAY_READ
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"--token-file {path}: can't be read ({error})", USAGE_ERROR)
    if not token or len(token.split()) > 1:
        refuse(f"--token-file {path}: must hold the key, alone on its first line", USAGE_ERROR)
    if open_to_others:
        typer.echo(f"ezthrottle: {path} can be read by other users of this machine: chmod 600 it", err=True)
    return token


def _policy(networks: str, *, allow_private: bool) -> "AddressPolicy":
    from regions.guard import AddressPolicy, parse_networks  # noqa: PLC0415  # the same

    try:
        return AddressPolicy(allow_private=allow_private, allowed_networks=parse_networks(networks))
    except ValueError as error:
        refuse(f"--allow-targets: {error}", USAGE_ERROR)
