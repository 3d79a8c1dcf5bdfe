"""Regions that an operator has taken out of service, as rows of the database."""

import sqlite3

from orchestrator.adapters.damage import whole
from orchestrator.domain.cluster.draining import Drain
from orchestrator.domain.ids import RegionName


def write_drain(db: sqlite3.Connection, region: RegionName, drain: Drain | None) -> None:
    """Save that a region drains; one that does not has no row."""
    if drain is None:
        db.execute("DELETE FROM drains WHERE region = ?", (region,))
    else:
        db.execute("INSERT OR REPLACE INTO drains VALUES (?, ?, ?)", (region, drain.at_ms, drain.by))


def read_drains(db: sqlite3.Connection) -> dict[RegionName, Drain]:
    """Read which regions drain. Who drained one had a reason: what can't be read of it does not end it."""
    rows = db.execute("SELECT region, at_ms, drained_by FROM drains").fetchall()
    return {RegionName(str(region)): Drain(whole(at_ms), str(by)) for region, at_ms, by in rows}
