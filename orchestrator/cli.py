"""The ``ezthrottle`` command."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli_jobs import jobs
from orchestrator.cli_overview import domains, regions, usage
from orchestrator.cli_webhooks import webhooks
from orchestrator.settings import Settings

DRIVER = (sys.executable, "-m", "orchestrator.adapters.ray.driver")
USAGE_ERROR = 2

app = typer.Typer(
    name="ezthrottle",
    help="An API dam: durable outbound HTTP at the pace each target bears, raced across regions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys: they work before and while the service runs.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(webhooks, name="webhooks")
app.add_typer(jobs, name="jobs")
for overview in (regions, domains, usage):
    app.command()(overview)

DEFAULTS = Settings()
DataDir = Annotated[
    Path, typer.Option(envvar="EZTHROTTLE_DATA_DIR", help="Where everything that has to survive lies.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(envvar="EZTHROTTLE_HOST", help="Where the API listens.")
    ] = DEFAULTS.host,
    port: Annotated[int, typer.Option(envvar="EZTHROTTLE_PORT", help="Its TCP port.")] = DEFAULTS.port,
    metrics_bind: Annotated[
        str,
        typer.Option(
            envvar="EZTHROTTLE_METRICS_BIND",
            help="HOST:PORT where /metrics is served, and there alone; the API's if left out.",
        ),
    ] = DEFAULTS.metrics_bind,
    data_dir: DataDir = DEFAULTS.data_dir,
    regions: Annotated[
        str,
        typer.Option(envvar="EZTHROTTLE_REGIONS", help="Names with commas; the first is the default."),
    ] = ",".join(DEFAULTS.regions),
    *,
    allow_private_targets: Annotated[
        bool,
        typer.Option(
            "--allow-private-targets",
            envvar="EZTHROTTLE_ALLOW_PRIVATE_TARGETS",
            help="Let jobs call private and loopback addresses: for development.",
        ),
    ] = DEFAULTS.allow_private_targets,
    allow_targets: Annotated[
        str,
        typer.Option(
            envvar="EZTHROTTLE_ALLOW_TARGETS", help="Let jobs call exactly these networks: CIDR,CIDR,…"
        ),
    ] = DEFAULTS.allow_targets,
    drain_timeout: Annotated[
        float,
        typer.Option(envvar="EZTHROTTLE_DRAIN_TIMEOUT", help="Seconds that a stop waits for attempts."),
    ] = DEFAULTS.drain_timeout_s,
    max_body_bytes: Annotated[
        int, typer.Option(envvar="EZTHROTTLE_MAX_BODY_BYTES", help="Largest submission.")
    ] = DEFAULTS.max_body_bytes,
    max_response_bytes: Annotated[
        int, typer.Option(envvar="EZTHROTTLE_MAX_RESPONSE_BYTES", help="Where a target's answer is cut.")
    ] = DEFAULTS.max_response_bytes,
    default_rps: Annotated[
        float, typer.Option(envvar="EZTHROTTLE_DEFAULT_RPS", help="Pace of a domain that names none.")
    ] = DEFAULTS.default_rps,
    default_max_concurrent: Annotated[
        int,
        typer.Option(envvar="EZTHROTTLE_DEFAULT_MAX_CONCURRENT", help="Requests in flight to such a domain."),
    ] = DEFAULTS.default_max_concurrent,
    domains_file: Annotated[
        Path | None,
        typer.Option(envvar="EZTHROTTLE_DOMAINS_FILE", help="Paces of domains that you know, in TOML."),
    ] = DEFAULTS.domains_file,
    keep_days: Annotated[
        float, typer.Option(envvar="EZTHROTTLE_KEEP_DAYS", help="How long ended jobs are kept.")
    ] = DEFAULTS.keep_days,
    strict_down: Annotated[
        float,
        typer.Option(
            envvar="EZTHROTTLE_STRICT_DOWN",
            help="Seconds that a region is down before a leg that may run nowhere else fails.",
        ),
    ] = DEFAULTS.strict_down_s,
    history_days: Annotated[
        float,
        typer.Option(envvar="EZTHROTTLE_HISTORY_DAYS", help="How long their state and times are kept."),
    ] = DEFAULTS.history_days,
    max_open_jobs: Annotated[
        int,
        typer.Option(envvar="EZTHROTTLE_MAX_OPEN_JOBS", help="Jobs of one customer, waiting or under way."),
    ] = DEFAULTS.max_open_jobs,
    max_streams: Annotated[
        int,
        typer.Option(envvar="EZTHROTTLE_MAX_STREAMS", help="Event streams of one customer, open at once."),
    ] = DEFAULTS.max_streams,
    webhook_offsets: Annotated[
        str,
        typer.Option(
            envvar="EZTHROTTLE_WEBHOOK_OFFSETS",
            help="When a webhook is tried: seconds after its first attempt.",
        ),
    ] = ",".join(f"{offset_s:g}" for offset_s in DEFAULTS.webhook_offsets_s),
    webhook_jitter: Annotated[
        float,
        typer.Option(
            envvar="EZTHROTTLE_WEBHOOK_JITTER", help="Share of the time between two attempts to be late by."
        ),
    ] = DEFAULTS.webhook_jitter,
    webhook_max_concurrent: Annotated[
        int,
        typer.Option(envvar="EZTHROTTLE_WEBHOOK_MAX_CONCURRENT", help="Webhooks in flight to a receiver."),
    ] = DEFAULTS.webhook_max_concurrent,
    redelivery_rps: Annotated[
        float,
        typer.Option(
            envvar="EZTHROTTLE_REDELIVERY_RPS", help="Failed webhooks of a customer begun again in a second."
        ),
    ] = DEFAULTS.redelivery_rps,
) -> None:
    """Run everything on this machine, or in the Ray cluster that RAY_ADDRESS names."""
    settings = Settings(
        host=host,
        port=port,
        metrics_bind=metrics_bind,
        data_dir=data_dir,
        regions=tuple(name.strip() for name in regions.split(",") if name.strip()),
        allow_private_targets=allow_private_targets,
        allow_targets=allow_targets,
        drain_timeout_s=drain_timeout,
        max_body_bytes=max_body_bytes,
        max_response_bytes=max_response_bytes,
        default_rps=default_rps,
        default_max_concurrent=default_max_concurrent,
        domains_file=domains_file,
        keep_days=keep_days,
        strict_down_s=strict_down,
        history_days=history_days,
        max_open_jobs=max_open_jobs,
        max_streams=max_streams,
        webhook_offsets_s=_numbers(webhook_offsets),
        webhook_jitter=webhook_jitter,
        webhook_max_concurrent=webhook_max_concurrent,
        redelivery_rps=redelivery_rps,
    )
    if problems := [*settings.problems(), *_network_problems(allow_targets), *_table_problems(domains_file)]:
        _refuse("; ".join(problems))
    raise typer.Exit(_run_driver(settings))


@keys.command("create")
def create(
    customer: Annotated[str, typer.Option(help="Whose key: an id such as cust_acme.")],
    plan: Annotated[str, typer.Option(help="The customer's plan.")] = "pro",
    data_dir: DataDir = DEFAULTS.data_dir,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    from orchestrator.adapters.store.api_keys import create_key, open_keys  # noqa: PLC0415  # serve needs no SQL

    with open_keys(data_dir) as db:
        try:
            key, made = create_key(db, customer, plan)
        except ValueError as error:
            _refuse(str(error))
    if as_json:
        _show({"api_key": key, "key_id": made.key_id, "customer": made.customer, "plan": made.plan})
    else:
        typer.echo(f"{key}\n(key id {made.key_id}; it is shown this once, so keep it safe)")


@keys.command("list")
def list_all(data_dir: DataDir = DEFAULTS.data_dir, *, as_json: AsJson = False) -> None:
    """List the keys; never the keys themselves."""
    from orchestrator.adapters.store.api_keys import list_keys, open_keys  # noqa: PLC0415  # serve needs no SQL

    with open_keys(data_dir) as db:
        rows = [
            {
                "key_id": key.key_id,
                "customer": key.customer,
                "plan": key.plan,
                "created": _when(key.created_ms),
                "revoked": _when(key.revoked_ms),
            }
            for key in list_keys(db)
        ]
    if as_json:
        _show(rows)
    else:
        _table(("key_id", "customer", "plan", "created", "revoked"), rows)


@keys.command("revoke")
def revoke(key_id: str, data_dir: DataDir = DEFAULTS.data_dir) -> None:
    """Revoke a key by its id; running services notice within seconds."""
    from orchestrator.adapters.store.api_keys import open_keys, revoke_key  # noqa: PLC0415  # serve needs no SQL

    with open_keys(data_dir) as db:
        if not revoke_key(db, key_id):
            _refuse(f"there is no valid key {key_id!r}: see 'ezthrottle keys list'")
    typer.echo(f"revoked {key_id}")


def main() -> None:
    """Run the command."""
    app()


def _table_problems(domains_file: Path | None) -> list[str]:
    from orchestrator.adapters.domains_file import load_known_domains  # noqa: PLC0415  # keys need no table
    from orchestrator.domain.known_domains import BadTable  # noqa: PLC0415  # the same

    try:
        load_known_domains(domains_file)
    except BadTable as error:
        return [f"--domains-file: {error}"]
    return []


def _network_problems(networks: str) -> list[str]:
    from regions.guard import parse_networks  # noqa: PLC0415  # keys need no guard

    try:
        parse_networks(networks)
    except ValueError as error:
        return [f"--allow-targets: {error}"]
    return []


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        # No schedule is empty: the check of all settings names the option.
        return ()


def _run_driver(settings: Settings) -> int:
    from orchestrator.adapters.process.parent import run  # noqa: PLC0415  # keys need no process tree
    from orchestrator.adapters.process.ray_token import ray_environment  # noqa: PLC0415  # the same

    env = {**os.environ, **ray_environment(settings.data_dir, os.environ), **settings.carry()}
    return run(DRIVER, data_dir=settings.data_dir, drain_timeout_s=settings.drain_timeout_s, env=env)


def _refuse(message: str) -> None:
    typer.echo(f"ezthrottle: {message}", err=True)
    raise typer.Exit(USAGE_ERROR)


def _show(document: object) -> None:
    typer.echo(json.dumps(document, indent=2))


def _table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    from rich.console import Console  # noqa: PLC0415  # only where somebody looks
    from rich.table import Table  # noqa: PLC0415  # the same

    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    Console().print(table)


def _when(unix_ms: int | None) -> str:
    return (
        ""
        if unix_ms is None
        else datetime.fromtimestamp(unix_ms / 1000, tz=UTC).isoformat(timespec="seconds")
    )
