"""The ``ezthrottle`` command."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli_client import USAGE_ERROR, refuse
from orchestrator.cli_jobs import jobs
from orchestrator.cli_keys import DataDir, keys
from orchestrator.cli_overview import domains, regions, usage
from orchestrator.cli_webhooks import webhooks
from orchestrator.settings import Settings

DRIVER = (sys.executable, "-m", "orchestrator.adapters.ray.driver")

app = typer.Typer(
    name="ezthrottle",
    help="An API dam: durable outbound HTTP at the pace each target bears, raced across regions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
DEFAULTS = Settings()
VARIABLE = "EZTHROTTLE_{}"
WITHOUT_VARIABLE = frozenset({"help", "install-completion", "show-completion"})


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
        int, typer.Option(envvar="EZTHROTTLE_MAX_BODY_BYTES", help="Largest submission, in bytes.")
    ] = DEFAULTS.max_body_bytes,
    max_response_bytes: Annotated[
        int,
        typer.Option(
            envvar="EZTHROTTLE_MAX_RESPONSE_BYTES", help="Bytes after which a target's answer is cut."
        ),
    ] = DEFAULTS.max_response_bytes,
    default_rps: Annotated[
        float,
        typer.Option(
            envvar="EZTHROTTLE_DEFAULT_RPS", help="Requests per second to a domain that names no pace."
        ),
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
        float,
        typer.Option(
            envvar="EZTHROTTLE_KEEP_DAYS", help="Days that requests and answers are kept after a job's end."
        ),
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
        typer.Option(envvar="EZTHROTTLE_HISTORY_DAYS", help="Days that its state and times are kept."),
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
        refuse("; ".join(problems), USAGE_ERROR)
    raise typer.Exit(_run_driver(settings))


for overview in (regions, domains, usage):
    app.command()(overview)
app.add_typer(keys, name="keys")
app.add_typer(jobs, name="jobs")
app.add_typer(webhooks, name="webhooks")


def command() -> Any:
    """Give the whole command; every option of it can be set by an environment variable as well."""
    # Typer's types do not name the class of its commands.
    whole: Any = typer.main.get_command(app)
    _name_variables(whole)
    return whole


def main() -> None:
    """Run the command."""
    command()()


def _name_variables(part: Any) -> None:
    for option in part.params:
        names = [name.removeprefix("--") for name in option.opts if name.startswith("--")]
        if names and not option.envvar and not WITHOUT_VARIABLE & {*names}:
            option.envvar = VARIABLE.format(max(names, key=len).upper().replace("-", "_"))
    for below in getattr(part, "commands", {}).values():
        _name_variables(below)


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

    try:
        env = {**os.environ, **ray_environment(settings.data_dir, os.environ), **settings.carry()}
    except OSError as error:
        refuse(f"--data-dir {settings.data_dir}: {error.strerror}: name a directory to write in", USAGE_ERROR)
    return run(DRIVER, data_dir=settings.data_dir, drain_timeout_s=settings.drain_timeout_s, env=env)
