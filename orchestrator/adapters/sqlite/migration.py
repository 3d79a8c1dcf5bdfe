"""The schema, in numbered steps. A data directory carries the number of the last one that it took, as
SQLite's ``user_version``; each step that it lacks is taken at the next start, all in one transaction.

A step is a file ``schema/NNNN_what.sql``, numbered without gaps, and never changed once it was released.
One that only adds, so that the version before goes on with it, is a *pre* step. Any other is a *post* step,
``schema/NNNN_what.post.sql``: only who has the directory alone takes it, so no earlier version is at work.
What SQL can't say of it, sealed columns to be filled say, is a function in ``FILLS`` that runs after it.
"""

import functools
import re
import sqlite3
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType

from msgspec import Struct

from orchestrator.adapters.sqlite.domain_ports import name_ports
from orchestrator.adapters.sqlite.failures import note_earlier_failures
from orchestrator.adapters.sqlite.marks import mark_open_attempts
from orchestrator.adapters.sqlite.unnumbered import complete_unnumbered
from orchestrator.ports.secret_box import SecretBox

FILLS: Mapping[int, Callable[[sqlite3.Connection, SecretBox], None]] = MappingProxyType(
    {1: complete_unnumbered, 4: note_earlier_failures, 6: name_ports, 10: mark_open_attempts}
)
_STEP = re.compile(r"(?P<number>\d{4})_\w+?(?P<post>\.post)?\.sql")
LOGGED_FROM = 7
"""The first step of which a directory notes that it took it."""


class StepKind(StrEnum):
    """Whether the version before goes on with a step."""

    PRE = "pre"
    POST = "post"


class Step(Struct, frozen=True):
    """A step of the schema."""

    sql: str
    kind: StepKind


class NewerSchemaError(ValueError):
    """A data directory that a later version of the service wrote: this one would read it wrongly."""

    def __init__(self, found: int) -> None:
        known = len(steps())
        super().__init__(
            f"it was written by a later version (its schema is {found}, this version knows {known}): "
            "run that version again, or restore the backup that was made before the upgrade"
        )


class EarlierServiceError(ValueError):
    """A service of an earlier version has the directory, and could not go on with this version's schema."""

    def __init__(self) -> None:
        super().__init__(
            "a service of an earlier version is using it: restart that service with this version first, or "
            "use the command of the earlier one"
        )


def migrate(db: sqlite3.Connection, box: SecretBox, *, alone: bool) -> None:
    """Take the steps that a database lacks, within the caller's transaction; a new one lacks them all.
    ``alone`` says that no service has it open, or that the caller is that service.

    Raises:
        NewerSchemaError: A later version wrote it, and more than additions; nothing was changed.
        EarlierServiceError: A post step is lacking, and the caller is not alone; nothing was changed.
        ValueError: Its rows were sealed with another key.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    known = steps()
    if found > len(known) and not _are_additions(db, len(known) + 1, found):
        raise NewerSchemaError(found)
    if not alone and any(step.kind is StepKind.POST for step in known[found:]):
        raise EarlierServiceError
    for number, step in enumerate(known[found:], found + 1):
        for statement in step.sql.split(";\n"):
            db.execute(statement)
        FILLS.get(number, _nothing)(db, box)
        if number >= LOGGED_FROM:
            db.execute("INSERT INTO schema_steps (number, kind) VALUES (?, ?)", (number, step.kind))
        db.execute(f"PRAGMA user_version = {number:d}")


def _are_additions(db: sqlite3.Connection, first: int, last: int) -> bool:
    """Say whether a later version noted each of its steps as one that this version goes on with."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_steps'").fetchone():
        return False
    sql = "SELECT count(*) FROM schema_steps WHERE kind = ? AND number BETWEEN ? AND ?"
    (additions,) = db.execute(sql, (StepKind.PRE, first, last)).fetchone()
    return bool(additions == last - first + 1)


@functools.cache
def steps() -> tuple[Step, ...]:
    """Read all steps, in their order.

    Raises:
        RuntimeError: Two have one number, or one is missing.
    """
    directory = files(__package__).joinpath("schema")
    names = sorted(each.name for each in directory.iterdir())
    named = [(name, match) for name in names if (match := _STEP.fullmatch(name))]
    if [int(match["number"]) for _, match in named] != list(range(1, len(named) + 1)):
        msg = f"steps of the schema are numbered from 1 without gaps, not {[name for name, _ in named]}"
        raise RuntimeError(msg)
    return tuple(
        Step(directory.joinpath(name).read_text(), StepKind.POST if match["post"] else StepKind.PRE)
        for name, match in named
    )


def _nothing(_db: sqlite3.Connection, _box: SecretBox) -> None:
    """SQL said it all."""
