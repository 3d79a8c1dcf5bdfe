"""``ezthrottle serve``: every setting is an option, an environment variable and a key of one file."""

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import Field, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.client import USAGE_ERROR, refuse
from orchestrator.settings import (
    DEFAULT_FILE,
    FILE_TABLE,
    Settings,
    key_of,
    option_of,
    unknown_keys,
    variable_of,
)

DRIVER = (sys.executable, "-P", "-m", "orchestrator.adapters.ray.driver")
DOMAIN_TABLES = ("domains", "plans")


def serve(config: Path | None, **values: Any) -> None:
    """Run everything on this machine, or in the Ray cluster that RAY_ADDRESS names."""
    if config is not None and values["domains_file"] is None and _names_domains(config):
        values["domains_file"] = config
    settings = Settings(**{each.name: _read(each, values[each.name]) for each in fields(Settings)})
    problems = [
        *settings.problems(),
        *_network_problems(settings.allow_targets),
        *_table_problems(settings.domains_file),
        *_tls_problems(settings),
    ]
    if problems:
        refuse("; ".join(problems), USAGE_ERROR)
    raise typer.Exit(_run_driver(settings))


def _take_file(context: typer.Context, path: Path | None) -> Path | None:
    """Let the file's values stand where neither the command line nor the environment says anything."""
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    if path is not None:
        names = {key_of(setting.name): setting.name for setting in fields(Settings)}
        document = _document(path)
        for name in sorted(document.keys() - {FILE_TABLE, *DOMAIN_TABLES}):
            remedy = (
                f"write it under [{FILE_TABLE}]" if name in names else f"settings are under [{FILE_TABLE}]"
            )
            refuse(f"--config {path}: knows no {name} here: {remedy}", USAGE_ERROR)
        given = document.get(FILE_TABLE, {})
        if not isinstance(given, dict):
            refuse(f"--config {path}: write [{FILE_TABLE}] above the settings", USAGE_ERROR)
        if unknown := unknown_keys(given, names, FILE_TABLE):
            refuse(f"--config {path}: {unknown[0]}", USAGE_ERROR)
        context.default_map = {names[key]: _written(value) for key, value in given.items()}
    return path


def _names_domains(path: Path) -> bool:
    return any(name in _document(path) for name in DOMAIN_TABLES)


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        refuse(f"--config {path}: {error.strerror}: name a file that can be read", USAGE_ERROR)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        refuse(f"--config {path}: is no TOML: {error}", USAGE_ERROR)


def _written(value: object) -> object:
    """Write a value as the command line would have it."""
    if isinstance(value, list | tuple):
        return ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return value


def _read(setting: Field[Any], value: Any) -> Any:
    """Read a list: all other kinds are read by the command line."""
    if setting.type == tuple[str, ...]:
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return _numbers(value) if setting.type == tuple[float, ...] else value


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        # No schedule is empty: the check of all settings names the option.
        return ()


def _parameter(setting: Field[Any]) -> Parameter:
    is_list = isinstance(setting.default, tuple)
    option = typer.Option(
        option_of(setting.name), envvar=variable_of(setting.name), help=setting.metadata["says"]
    )
    return Parameter(
        setting.name,
        Parameter.KEYWORD_ONLY,
        default=_written(setting.default),
        annotation=Annotated[str if is_list else setting.type, option],
    )


def _parameters() -> Mapping[str, Parameter]:
    config = typer.Option(
        "--config",
        envvar="EZTHROTTLE_CONFIG",
        is_eager=True,
        callback=_take_file,
        help=f"One TOML file for all of this, under {FILE_TABLE}, and for what --domains-file holds. "
        f"If left out, {DEFAULT_FILE} where you start it, if that is there: 'ezthrottle init' writes one.",
    )
    first = Parameter(
        "config", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Path | None, config]
    )
    return {each.name: each for each in (first, *map(_parameter, fields(Settings)))}


# Typer reads a function's signature: this one is written from the table of settings.
serve.__signature__ = Signature([*_parameters().values()])  # type: ignore[attr-defined]  # any function takes it
serve.__annotations__ = {name: each.annotation for name, each in _parameters().items()} | {"return": None}


def _table_problems(domains_file: Path | None) -> list[str]:
    from orchestrator.adapters.domains_file import load_known_domains  # noqa: PLC0415  # keys need no table
    from orchestrator.domain.pace.known_domains import BadTable  # noqa: PLC0415  # the same

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


def _tls_problems(settings: Settings) -> list[str]:
    if settings.tls_cert is None:
        return []
    from orchestrator.adapters.agents.door import server_tls  # noqa: PLC0415  # keys need no door

    try:
        server_tls(settings.tls_cert, settings.tls_key)
    except OSError as error:
        return [f"--tls-cert, --tls-key: {error}"]
    return []


def _run_driver(settings: Settings) -> int:
    from orchestrator.adapters.process.parent import run  # noqa: PLC0415  # keys need no process tree

    env = {**os.environ, **settings.carry()}
    return run(DRIVER, data_dir=settings.data_dir, drain_timeout_s=settings.drain_timeout_s, env=env)
