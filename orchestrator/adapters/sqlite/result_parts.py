"""Large results, in parts: a commit holds up every other write for as long as the disk takes for its bytes.

All parts but the first have commits of their own, ahead of the one that ends the job. They count from that
one on: what an earlier life of the shard wrote without coming so far is written over, or left out.
"""

import sqlite3

from orchestrator.domain.byte_budget import KIB
from orchestrator.domain.ids import JobId

PART_BYTES = 256 * KIB
"""Takes the disk a few milliseconds."""
DROPPED_AT_ONCE = 4
"""Each byte of a part is written over, which takes the disk as long."""
_DROP = """DELETE FROM result_parts WHERE rowid IN
           (SELECT rowid FROM result_parts WHERE job_id = ? LIMIT ?)"""
_WRITE = """INSERT OR REPLACE INTO result_parts (job_id, number, part)
            SELECT id, ?, ? FROM jobs WHERE id = ? AND ended_ms IS NULL"""
_READ = "SELECT part FROM result_parts WHERE job_id = ? AND number < ? ORDER BY number"


def parts_of(sealed: bytes) -> list[memoryview]:
    """Cut a sealed result; the first part is for the job's row, and the only one of most."""
    whole = memoryview(sealed)
    return [whole[at : at + PART_BYTES] for at in range(0, len(sealed), PART_BYTES)]


def write_part(db: sqlite3.Connection, job_id: JobId, number: int, part: memoryview) -> None:
    """Store a part of a job's result, unless that has ended: 1 is the one behind the first."""
    db.execute(_WRITE, (number, part, job_id))


def joined(db: sqlite3.Connection, job_id: JobId, first: bytes, size: int) -> bytes:
    """Give the sealed result of ``size`` bytes that begins with ``first``; less where parts are gone."""
    count = -(-size // PART_BYTES)
    return b"".join([first, *(part for (part,) in db.execute(_READ, (job_id, count)))])


def leave_parts(db: sqlite3.Connection, job_id: str) -> None:
    """Have the parts of a job's result dropped later: its row does not name them any more."""
    db.execute("INSERT OR IGNORE INTO parts_left VALUES (?)", (job_id,))


def drop_left(db: sqlite3.Connection) -> bool:
    """Drop a few of the parts that were left; say whether there may be more."""
    found = db.execute("SELECT job_id FROM parts_left LIMIT 1").fetchone()
    if found is None:
        return False
    if db.execute(_DROP, (found["job_id"], DROPPED_AT_ONCE)).rowcount < DROPPED_AT_ONCE:
        db.execute("DELETE FROM parts_left WHERE job_id = ?", (found["job_id"],))
    return True
