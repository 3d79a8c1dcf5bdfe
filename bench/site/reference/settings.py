"""The page of the settings, from their one table."""

import math
from dataclasses import Field, fields
from typing import Any

from bench.diagrams import default_of
from bench.site.markdown import code, lines, page, table
from orchestrator.settings import FILE_TABLE, Settings, key_of, option_of, variable_of

_INTRO = f"""\
Each is an option of `ezthrottle serve`, an environment variable and a key of the table `[{FILE_TABLE}]` in
one TOML file: an option outweighs the variable, and that the file. `ezthrottle init` writes such a file, with
every setting and what it means; [this one](../examples/ezthrottle.toml) is an example, and
[another](../examples/domains.toml) says what is known of targets. [Operations](../operations.md) tells when
to change which. Times are seconds unless the name says otherwise."""


def settings() -> str:
    """Write the page."""
    rows = [[_names(each.name), default_of(each.default), _says(each)] for each in fields(Settings)]
    return page("# Settings", _INTRO, table(["Option, variable, key", "Default", ""], rows))


def _names(name: str) -> str:
    return lines(code(option_of(name)), code(variable_of(name)), code(key_of(name)))


def _says(setting: Field[Any]) -> str:
    told = setting.metadata
    bounds = " More than 0." if told["above_zero"] else ""
    most = f" At most {told['at_most']}." if told["at_most"] < math.inf else ""
    return f"{told['says']}{bounds}{most}"
