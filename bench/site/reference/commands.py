"""The page of the command line, from the command itself."""

from collections.abc import Iterator
from typing import Any

from bench.site.markdown import code, lines, page, table
from orchestrator.cli.app import command

_INTRO = """\
One command, `ezthrottle`. Every option is an environment variable too; an option outweighs it. `--help` at
any command tells the same as this page."""
_OWN = "ezthrottle"


def commands() -> str:
    """Write the page."""
    return page("# The command line", _INTRO, *_command(_OWN, command()))


def _command(name: str, told: Any) -> Iterator[str]:
    yield f"## {code(name)} {{ #{name.replace(' ', '-')} }}"
    yield told.help
    yield _parameters("Argument", [each for each in told.params if each.param_type_name == "argument"])
    yield _parameters("Option", [each for each in told.params if each.param_type_name == "option"])
    for below, part in getattr(told, "commands", {}).items():
        yield from _command(f"{name} {below}", part)


def _parameters(kind: str, parameters: list[Any]) -> str:
    rows = [[_names(each), _default(each), each.help or ""] for each in parameters]
    return table([kind, "Default", ""], rows) if rows else ""


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(parameter.name.upper())
    return lines(*map(code, parameter.opts), code(parameter.envvar or ""))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    plain = parameter.default in (None, "", False, ())
    return "" if plain or callable(parameter.default) else code(parameter.default)
