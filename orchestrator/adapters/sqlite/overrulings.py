"""What the operator said of domains, as rows of the database: plain, for there is no secret in it."""

import sqlite3

from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.overruling import Overruling, Pause, SetPace

_COLUMNS = "domain, rps, max_concurrent, until_ms, set_ms, set_by, paused_ms, paused_by"


def write_overruling(db: sqlite3.Connection, domain: TargetDomain, overruling: Overruling) -> None:
    """Save what the operator said of a domain; a row that says nothing is none."""
    if not overruling:
        db.execute("DELETE FROM overrulings WHERE domain = ?", (domain,))
        return
    pace, pause = overruling.pace, overruling.pause
    set_ = (pace.rps, pace.max_concurrent, pace.until_ms, pace.at_ms, pace.by) if pace else (None,) * 5
    paused = (pause.at_ms, pause.by) if pause else (None, None)
    sql = f"INSERT OR REPLACE INTO overrulings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # names of our own
    db.execute(sql, (domain, *set_, *paused))


def read_overrulings(db: sqlite3.Connection) -> dict[TargetDomain, Overruling]:
    """Read what the operator said of all domains."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM overrulings").fetchall()  # noqa: S608  # names of our own
    return {TargetDomain(row["domain"]): _overruling(row) for row in rows}


def _overruling(row: sqlite3.Row) -> Overruling:
    said = {name: row[name] for name in ("rps", "max_concurrent", "until_ms")}
    return Overruling(
        pace=None if row["set_ms"] is None else SetPace(**said, at_ms=row["set_ms"], by=row["set_by"]),
        pause=None if row["paused_ms"] is None else Pause(at_ms=row["paused_ms"], by=row["paused_by"]),
    )
