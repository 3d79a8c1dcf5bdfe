"""``ezthrottle init``: a configuration with every setting, each as it is by default and commented out."""

import json
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, assert_never

import typer

from orchestrator.cli.client import USAGE_ERROR, AsJson, refuse, tell
from orchestrator.settings import DEFAULT_FILE, FILE_TABLE, Settings, key_of

To = Annotated[Path, typer.Argument(help="The file to make; it may not be there yet.")]
HEAD = f"""\
# What 'ezthrottle serve' runs with. It reads {DEFAULT_FILE} in the directory that it is started in, or the
# file that --config or EZTHROTTLE_CONFIG names. An option of the command line goes before its variable of the
# environment, and that before this file. Each line shows a default: take the # away to change it.

[{FILE_TABLE}]
"""
TAIL = """
# Paces of targets that you know, and weights of your customers' plans: see docs/operations.md.
# [domains."api.partner.example"]
# rps = 5
# max_concurrent = 2

# [plans]
# pro = 4
# free = 1
"""
_Value = bool | float | str | tuple[str, ...] | tuple[float, ...] | Path | None
_DEFAULTS = Settings()


def init(to: To = DEFAULT_FILE, *, as_json: AsJson = False) -> None:
    """Write a commented configuration, which 'serve' reads."""
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(configuration())
    except FileExistsError:
        refuse(f"{to} is there already: name a new file, or move it away", USAGE_ERROR)
    except OSError as error:
        refuse(f"{to}: {error.strerror}: name a file that can be written", USAGE_ERROR)
    tell({"configuration": str(to)}, f"{to}: every setting, commented out", as_json=as_json)


def configuration() -> str:
    """Write the file, from the one table of settings."""
    return HEAD + "".join(map(_setting, fields(Settings))) + TAIL


def _setting(setting: Field[Any]) -> str:
    default: _Value = getattr(_DEFAULTS, setting.name)
    return f"# {setting.metadata['says']}\n# {key_of(setting.name)} = {_in_toml(default)}\n\n"


def _in_toml(value: _Value) -> str:
    match value:
        case None:
            return '"FILE"'
        case Path():
            return json.dumps(str(value))
        case tuple():
            return json.dumps([*value])
        case bool() | int() | float() | str():
            return json.dumps(value)
        case _:
            assert_never(value)
