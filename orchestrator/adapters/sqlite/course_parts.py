"""Large courses, in parts, as large results are (``result_parts``): beside the course that a job's row names,
until the commit that names them in its place. What nobody names any more is dropped part by part, too: each
byte of it is written over.
"""

import sqlite3

from orchestrator.adapters.sqlite.result_parts import DROPPED_AT_ONCE, PART_BYTES
from orchestrator.domain.ids import JobId

_NEXT = f"SELECT run_second + (run_bytes + {PART_BYTES - 1}) / {PART_BYTES} - 1 FROM jobs WHERE id = ?"  # noqa: S608  # a number of ours
_WRITE = """INSERT OR REPLACE INTO course_parts (job_id, number, part)
            SELECT id, ?, ? FROM jobs WHERE id = ? AND ended_ms IS NULL"""
_READ = "SELECT part FROM course_parts WHERE job_id = ? AND number BETWEEN ? AND ? ORDER BY number"
_UNNAMED = f"""FROM course_parts WHERE job_id = ? AND NOT EXISTS
               (SELECT 1 FROM jobs WHERE id = job_id AND number >= run_second
                AND number < run_second + (run_bytes + {PART_BYTES - 1}) / {PART_BYTES} - 1)"""  # noqa: S608  # a number of ours
_DROP_LEFT = """DELETE FROM course_parts WHERE rowid IN
                (SELECT parts.rowid FROM course_parts AS parts LEFT JOIN jobs ON jobs.id = parts.job_id
                 WHERE jobs.id IS NULL OR jobs.ended_ms IS NOT NULL LIMIT ?)"""


def jobs_in_parts(db: sqlite3.Connection) -> set[JobId]:
    """Name the jobs that have parts on disk, whether their rows name them or not."""
    return {JobId(job_id) for (job_id,) in db.execute("SELECT DISTINCT job_id FROM course_parts")}


def has_parts(db: sqlite3.Connection, job_id: JobId) -> bool:
    """Whether a job is one of those."""
    return db.execute("SELECT 1 FROM course_parts WHERE job_id = ?", (job_id,)).fetchone() is not None


def next_number(db: sqlite3.Connection, job_id: JobId) -> int:
    """Give the number of the second part of a job's next course: behind those that its row names. What a try
    that failed left there is written over.
    """
    found = db.execute(_NEXT, (job_id,)).fetchone()
    return 1 if found is None or found[0] is None else int(found[0])


def write_part(db: sqlite3.Connection, job_id: JobId, number: int, part: memoryview) -> None:
    """Store a part, unless the job has ended."""
    db.execute(_WRITE, (number, part, job_id))


def joined(db: sqlite3.Connection, job_id: JobId, first: bytes, size: int, second: int) -> bytes:
    """Give the sealed course of ``size`` bytes that begins with ``first``; less where parts are gone."""
    others = -(-size // PART_BYTES) - 1
    rows = db.execute(_READ, (job_id, second, second + others - 1))
    return b"".join([first, *(part for (part,) in rows)])


def unnamed(db: sqlite3.Connection, job_id: JobId) -> list[int]:
    """List the parts that a job's row does not name."""
    return [number for (number,) in db.execute(f"SELECT number {_UNNAMED} ORDER BY number", (job_id,))]


def drop_unnamed(db: sqlite3.Connection, job_id: JobId, number: int) -> None:
    """Forget one of them."""
    db.execute(f"DELETE {_UNNAMED} AND number = ?", (job_id, number))


def drop_left(db: sqlite3.Connection) -> bool:
    """Forget some parts that an earlier life left, of jobs that have ended; say whether there may be more."""
    return db.execute(_DROP_LEFT, (DROPPED_AT_ONCE,)).rowcount == DROPPED_AT_ONCE
