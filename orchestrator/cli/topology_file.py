"""Reading a topology: settings of the shard and its gateway under ``[serve]``, a table for each region."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.domain.cluster.topology import REGIONS_TABLE, BadTopology, read_regions
from orchestrator.domain.ids import RegionName
from orchestrator.settings import FILE_TABLE, Settings, key_of, unknown_keys

NAMES = {key_of(each.name): each.name for each in fields(Settings) if each.name != "regions"}
_REGIONS_ELSEWHERE = f"[{FILE_TABLE}] regions: name them in tables of their own, [{REGIONS_TABLE}.iad]"
_DATA_DIR = f"[{FILE_TABLE}] data_dir must be an absolute path, of the machine that offers the gateway"
_PORT = f"[{FILE_TABLE}] port must be a number above 0: clients have to find it again"

_LOG = (
    f"[{FILE_TABLE}] log_stdout is for 'ezthrottle serve': leave it out, for nobody sees what is printed; "
    "the shard logs to service.log in data_dir"
)


def read_topology(path: Path) -> tuple[Settings, dict[RegionName, int]]:
    """Read a topology: the settings, regions included, and how many executors each region has.

    Raises:
        BadTopology: The file is none; every problem is told.

    """
    document = _document(path)
    problems = [
        f"there is no [{name}]: write [{FILE_TABLE}] and [{REGIONS_TABLE}.NAME]"
        for name in sorted(document.keys() - {FILE_TABLE, REGIONS_TABLE})
    ]
    regions: dict[RegionName, int] = {}
    try:
        regions = read_regions(document)
    except BadTopology as error:
        problems += error.problems
    settings = _read_settings(document.get(FILE_TABLE, {}), tuple(regions), problems)
    if problems or settings is None:
        raise BadTopology(problems)
    return settings, regions


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadTopology([f"{error.strerror}: name a file that can be read"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTopology([f"it is no TOML: {error}"]) from error


def _read_settings(table: object, regions: tuple[str, ...], problems: list[str]) -> Settings | None:
    if not isinstance(table, Mapping):
        problems.append(f"{FILE_TABLE}: write the settings below [{FILE_TABLE}]")
        return None
    if "regions" in table:
        problems.append(_REGIONS_ELSEWHERE)
    given = {key: value for key, value in table.items() if key != "regions"}
    problems += unknown_keys(given, NAMES, FILE_TABLE)
    values = {NAMES[key]: value for key, value in given.items() if key in NAMES}
    try:
        settings = msgspec.convert(values | {"regions": regions}, Settings, dec_hook=_path)
    except msgspec.ValidationError as error:
        problems.append(f"[{FILE_TABLE}] {_field_first(str(error))}")
        return None
    problems += [f"[{FILE_TABLE}] {_as_field(problem)}" for problem in settings.problems()]
    problems += _network_problems(settings.allow_targets)
    if "data_dir" not in values or not settings.data_dir.is_absolute():
        problems.append(_DATA_DIR)
    if settings.log_stdout:
        problems.append(_LOG)
    if settings.port == 0:
        problems.append(_PORT)
    return settings


def _network_problems(networks: str) -> list[str]:
    from regions.guard import parse_networks  # noqa: PLC0415  # other commands need no guard

    try:
        parse_networks(networks)
    except ValueError as error:
        return [f"[{FILE_TABLE}] allow_targets: {error}"]
    return []


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    msg = f"Expected a `{kind.__name__}`"
    raise TypeError(msg)


def _field_first(said: str) -> str:
    """Turn what msgspec says round: ``Expected `int`, got `str` - at `$.port```."""
    what, _, where = said.partition(" - at `$.")
    name = where.rstrip("`").partition("[")[0]
    return f"{key_of(name)}: {what[:1].lower()}{what[1:]}" if name else what


def _as_field(problem: str) -> str:
    """Name a setting as the file does, not as the command line."""
    option, _, rest = problem.removeprefix("--").partition(" ")
    return f"{option.replace('-', '_')} {rest}"
