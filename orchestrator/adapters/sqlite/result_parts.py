"""Large results, in parts: a commit holds up every other write for as long as the disk takes for its bytes.

All parts but the first have commits of their own, ahead of the one that ends the job. They count from that
one on: what an earlier life of the shard wrote without coming so far is written over, or left out.
"""

import sqlite3

from orchestrator.domain.byte_budget import KIB
from orchestrator.domain.ids import JobId

PART_BYTES = 256 * KIB
"""Takes the disk a few milliseconds."""
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


def drop_parts(db: sqlite3.Connection, job_id: str) -> None:
    """Forget the parts of a job's result."""
    db.execute("DELETE FROM result_parts WHERE job_id = ?", (job_id,))
