"""What the operator said of domains, as rows of the database: plain, for there is no secret in it."""

import logging
import sqlite3

from orchestrator.adapters.damage import known_count, known_number, reading, whole
from orchestrator.domain.ids import TargetDomain
from orchestrator.domain.pace.overruling import Overruling, Pause, SetPace
from orchestrator.ports.store import DamagedError

log = logging.getLogger(__name__)

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
    """Read what the operator said of all domains. A pace that is damaged is none; a pause stays one."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM overrulings").fetchall()  # noqa: S608  # names of our own
    return {TargetDomain(str(row["domain"])): Overruling(pace=_pace(row), pause=_pause(row)) for row in rows}


def _pace(row: sqlite3.Row) -> SetPace | None:
    if row["set_ms"] is None:
        return None
    try:
        with reading("rps, max_concurrent, until_ms"):
            return SetPace(
                rps=known_number(row["rps"]),
                max_concurrent=known_count(row["max_concurrent"]),
                until_ms=known_count(row["until_ms"]),
                at_ms=whole(row["set_ms"]),
                by=str(row["set_by"]),
            )
    except DamagedError as error:
        log.warning("the pace that was set for %s is damaged, and left out: %s", row["domain"], error)
        return None


def _pause(row: sqlite3.Row) -> Pause | None:
    # Who paused a domain had a reason: what can't be read of it lets nothing go.
    if row["paused_ms"] is None:
        return None
    return Pause(at_ms=whole(row["paused_ms"]), by=str(row["paused_by"]))
