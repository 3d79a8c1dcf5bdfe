"""The schema, in numbered steps. A data directory carries the number of the last one that it took, as
SQLite's ``user_version``; each step that it lacks is taken at the next start, all in one transaction.

A step is a file ``schema/NNNN_what.sql``, numbered without gaps, and never changed once it was released.
What SQL can't say of it, sealed columns to be filled say, is a function in ``FILLS`` that runs after it.
"""

import functools
import re
import sqlite3
from collections.abc import Callable, Mapping
from importlib.resources import files
from types import MappingProxyType

from orchestrator.adapters.sqlite.domain_ports import name_ports
from orchestrator.adapters.sqlite.failures import note_earlier_failures
from orchestrator.adapters.sqlite.unnumbered import complete_unnumbered
from orchestrator.ports.secret_box import SecretBox

FILLS: Mapping[int, Callable[[sqlite3.Connection, SecretBox], None]] = MappingProxyType(
    {1: complete_unnumbered, 4: note_earlier_failures, 6: name_ports}
)
_STEP = re.compile(r"\d{4}_\w+\.sql")


class NewerSchemaError(ValueError):
    """A data directory that a later version of the service wrote: this one would read it wrongly."""

    def __init__(self, found: int) -> None:
        known = len(steps())
        super().__init__(
            f"it was written by a later version (its schema is {found}, this version knows {known}): "
            "run that version again, or restore the backup that was made before the upgrade"
        )


def migrate(db: sqlite3.Connection, box: SecretBox) -> None:
    """Take the steps that a database lacks, within the caller's transaction; a new one lacks them all.

    Raises:
        NewerSchemaError: A later version wrote it; nothing was changed.
        ValueError: Its rows were sealed with another key.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > len(steps()):
        raise NewerSchemaError(found)
    for number in range(found + 1, len(steps()) + 1):
        for statement in steps()[number - 1].split(";\n"):
            db.execute(statement)
        FILLS.get(number, _nothing)(db, box)
        db.execute(f"PRAGMA user_version = {number:d}")


@functools.cache
def steps() -> tuple[str, ...]:
    """Read the SQL of all steps, in their order.

    Raises:
        RuntimeError: Two have one number, or one is missing.
    """
    directory = files(__package__).joinpath("schema")
    named = sorted(each.name for each in directory.iterdir() if _STEP.fullmatch(each.name))
    if [int(name[:4]) for name in named] != list(range(1, len(named) + 1)):
        msg = f"steps of the schema are numbered from 1 without gaps, not {named}"
        raise RuntimeError(msg)
    return tuple(directory.joinpath(name).read_text() for name in named)


def _nothing(_db: sqlite3.Connection, _box: SecretBox) -> None:
    """SQL said it all."""
