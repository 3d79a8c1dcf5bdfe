"""A data directory's schema, brought up to this version's without a service."""

import sqlite3
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from orchestrator.adapters.sqlite.connections import connect
from orchestrator.adapters.sqlite.customers import open_administration
from orchestrator.adapters.sqlite.data_dir import DATABASE
from orchestrator.ports.store import StoreFailure


class Upgrade(Struct, frozen=True):
    """By their numbers: the last step that a directory had taken, and the last that it has now."""

    before: int
    after: int


async def upgrade_directory(data_dir: Path) -> Upgrade:
    """Take the steps of the schema that a directory in use lacks, all or none.

    Raises:
        StoreFailure: What lies there is no database, or the disk takes nothing just now.
        ValueError: It was sealed with another key, a later version wrote it, or a service of an earlier
            version is using it.
    """
    before = _number(data_dir)
    async with open_administration(data_dir):
        return Upgrade(before, _number(data_dir))


def _number(data_dir: Path) -> int:
    try:
        with closing(connect(data_dir / DATABASE)) as connection:
            (number,) = connection.execute("PRAGMA user_version").fetchone()
            return int(number)
    except sqlite3.Error as error:
        raise StoreFailure(str(error)) from error
