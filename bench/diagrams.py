"""Writes what is drawn from the code into the docs; ``--check`` only compares."""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from orchestrator.domain.jobs.lifecycle import diagram
from orchestrator.settings import Settings, option_of, variable_of


def lifecycle() -> str:
    """Draw the transition table."""
    return f"```mermaid\n{diagram()}\n```"


def settings() -> str:
    """Write the table of settings."""
    rows = ["| option | environment | default | |", "|---|---|---|---|"]
    for setting in fields(Settings):
        name, says = setting.name, setting.metadata["says"]
        rows.append(
            f"| `{option_of(name)}` | `{variable_of(name)}` | {default_of(setting.default)} | {says} |"
        )
    return "\n".join(rows)


def default_of(value: object) -> str:
    """Show a setting's default; nothing where it has none."""
    match value:
        case None | "" | False:
            return ""
        case tuple():
            return f"`{','.join(map(str, value))}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


DRAWN: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/architecture.md", "lifecycle"): lifecycle,
    ("docs/operations.md", "settings"): settings,
}


def main() -> int:
    """Write, or compare; give the exit code."""
    stale = 0
    for (page, name), draw in DRAWN.items():
        text = Path(page).read_text()
        begin, end = f"<!-- {name}: drawn from the code by `make format` -->", f"<!-- /{name} -->"
        before, rest = text.split(begin, 1)
        drawn = f"{before}{begin}\n\n{draw()}\n\n{end}{rest.split(end, 1)[1]}"
        if "--check" not in sys.argv:
            Path(page).write_text(drawn)
        elif drawn != text:
            print(f"{page}: {name} is out of date; run 'make format'")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
