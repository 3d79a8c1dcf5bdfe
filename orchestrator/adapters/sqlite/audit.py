"""The audit, as rows of the database: plain, for there is no secret in it."""

import sqlite3
from collections.abc import Sequence

import msgspec

from orchestrator.adapters.damage import whole
from orchestrator.adapters.sqlite.database import Database
from orchestrator.domain.access.audit import AuditEntry, AuditFilter, AuditLine, Detail

_COLUMNS = "at_ms, act, subject, who, customer, origin, detail"


class SqliteAudit:
    """The AuditLog port on SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Write down an act that is no row of the store's.

        Raises:
            StoreFailure: It could not be written.
        """
        await self._database.written(lambda db: write_audit(db, entry))

    async def lines(self, wanted: AuditFilter, most: int) -> Sequence[AuditLine]:
        """List entries, the latest first."""
        sql = f"""SELECT number, {_COLUMNS} FROM audit WHERE number < ? AND at_ms >= ? AND at_ms < ?
                  ORDER BY number DESC LIMIT ?"""  # noqa: S608  # names of our own
        values = (wanted.before, wanted.since_ms, wanted.until_ms, most)
        return [_line(row) for row in await self._database.lanes.quick.rows(sql, *values)]


def write_audit(db: sqlite3.Connection, entry: AuditEntry) -> None:
    """Write an act down within the caller's transaction."""
    detail = msgspec.json.encode(entry.detail).decode()
    row = (entry.at_ms, entry.act, entry.subject, entry.who, entry.customer, entry.origin, detail)
    db.execute(f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608  # the same


def _line(row: sqlite3.Row) -> AuditLine:
    values = {name: str(row[name]) for name in ("act", "subject", "who", "customer", "origin")}
    entry = AuditEntry(at_ms=whole(row["at_ms"]), detail=_detail(row["detail"]), **values)
    return AuditLine(row["number"], entry)


def _detail(stored: object) -> dict[str, Detail]:
    """Read what was set; of a row that is damaged the rest still tells something."""
    try:
        return msgspec.json.decode(str(stored), type=dict[str, str | int | float | None])
    except msgspec.MsgspecError:
        return {}
