"""Large courses, in parts, as large results are (``result_parts``): beside the course that a job's row names,
until the commit that names them in its place. What nobody names any more is dropped part by part, too: each
byte of it is written over.
"""

import sqlite3

from orchestrator.adapters.sqlite.result_parts import DROPPED_AT_ONCE, PART_BYTES
from orchestrator.domain.ids import JobId

_WRITE = """INSERT OR REPLACE INTO course_parts (job_id, number, part)
            SELECT id, ?, ? FROM jobs WHERE id = ? AND ended_ms IS NULL"""
_READ = "SELECT part FROM course_parts WHERE job_id = ? AND number BETWEEN ? AND ? ORDER BY number"
_DROP_LEFT = """DELETE FROM course_parts WHERE rowid IN
                (SELECT parts.rowid FROM course_parts AS parts LEFT JOIN jobs ON jobs.id = parts.job_id
                 WHERE jobs.id IS NULL OR jobs.ended_ms IS NOT NULL LIMIT ?)"""


def next_number(db: sqlite3.Connection, job_id: JobId) -> int:
    """Give the number of the second part of a job's next course: behind all that it has on disk."""
    (last,) = db.execute("SELECT max(number) FROM course_parts WHERE job_id = ?", (job_id,)).fetchone()
    return 1 if last is None else int(last) + 1


def write_part(db: sqlite3.Connection, job_id: JobId, number: int, part: memoryview) -> None:
    """Store a part, unless the job has ended."""
    db.execute(_WRITE, (number, part, job_id))


def joined(db: sqlite3.Connection, job_id: JobId, first: bytes, size: int, second: int) -> bytes:
    """Give the sealed course of ``size`` bytes that begins with ``first``; less where parts are gone."""
    others = -(-size // PART_BYTES) - 1
    rows = db.execute(_READ, (job_id, second, second + others - 1))
    return b"".join([first, *(part for (part,) in rows)])


def numbers_before(db: sqlite3.Connection, job_id: JobId, second: int | None) -> list[int]:
    """List the parts that a course with this second part took the place of; all, where it has none."""
    sql = "SELECT number FROM course_parts WHERE job_id = ? AND (? IS NULL OR number < ?) ORDER BY number"
    return [number for (number,) in db.execute(sql, (job_id, second, second))]


def drop_part(db: sqlite3.Connection, job_id: JobId, number: int) -> None:
    """Forget a part."""
    db.execute("DELETE FROM course_parts WHERE job_id = ? AND number = ?", (job_id, number))


def drop_left(db: sqlite3.Connection) -> bool:
    """Forget some parts that an earlier life left, of jobs that have ended; say whether there may be more."""
    return db.execute(_DROP_LEFT, (DROPPED_AT_ONCE,)).rowcount == DROPPED_AT_ONCE
