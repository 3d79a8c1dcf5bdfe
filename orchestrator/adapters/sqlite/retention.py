"""What the embedded store forgets, and when: keys first, then payloads, then the summary of a job; and what
is known of targets that nobody calls any more.
"""

import sqlite3

from orchestrator.adapters.records import pack_delivery
from orchestrator.adapters.sqlite import course_parts, result_parts
from orchestrator.adapters.sqlite.listing import delivery_in
from orchestrator.domain.access.usage import day_of
from orchestrator.domain.jobs.retention import Retention

PURGE_BATCH = 1_000
PURGE_BYTES = 1024 * 1024
"""Of payloads in a batch, without the parts of large results: each byte is written over, and other writes
wait for that.
"""


def purge(db: sqlite3.Connection, now_ms: int, retention: Retention) -> bool:
    """Forget a batch of each; say whether there may be more."""
    more = [
        _free_keys(db, now_ms - retention.key_ms),
        _forget_payloads(db, now_ms - retention.payload_ms),
        # A row that is gone holds its key no more.
        _drop_jobs(db, now_ms - max(retention.summary_ms, retention.key_ms)),
        result_parts.drop_left(db) or course_parts.drop_left(db),
        *(_drop_unused(db, table, day_of(now_ms - retention.unused_ms)) for table in _BY_TARGET),
    ]
    return any(more)


def _free_keys(db: sqlite3.Connection, ended_ms: int) -> bool:
    sql = """UPDATE jobs SET idem_holds = 0 WHERE id IN
             (SELECT id FROM jobs WHERE idem_holds = 1 AND ended_ms <= ? LIMIT ?)"""
    return db.execute(sql, (ended_ms, PURGE_BATCH)).rowcount == PURGE_BATCH


def _forget_payloads(db: sqlite3.Connection, ended_ms: int) -> bool:
    sql = """SELECT id, state, quorum, result_bytes, length(request) + ifnull(length(run), 0) + length(result)
             FROM jobs WHERE result IS NOT NULL AND ended_ms <= ? LIMIT ?"""
    rows = db.execute(sql, (ended_ms, PURGE_BATCH)).fetchall()
    room = PURGE_BYTES
    for job_id, state, quorum, in_parts, size in rows:
        if room <= 0:
            return True
        room -= size
        if in_parts is not None:
            result_parts.leave_parts(db, job_id)
        _forget_payload(db, job_id, pack_delivery(delivery_in(db, job_id, state, quorum)))
    return len(rows) == PURGE_BATCH


def _forget_payload(db: sqlite3.Connection, job_id: str, delivery: bytes) -> None:
    sql = """UPDATE jobs SET request = x'', run = NULL, result = NULL, result_bytes = NULL, quorum = ?
             WHERE id = ?"""
    db.execute(sql, (delivery, job_id))
    db.execute("DELETE FROM deliveries WHERE job_id = ?", (job_id,))


def _drop_jobs(db: sqlite3.Connection, ended_ms: int) -> bool:
    sql = "SELECT id FROM jobs WHERE result IS NULL AND ended_ms <= ? LIMIT ?"
    ids = db.execute(sql, (ended_ms, PURGE_BATCH)).fetchall()
    db.executemany("DELETE FROM jobs WHERE id = ?", ids)
    db.executemany("DELETE FROM failures WHERE job_id = ?", ids)
    return len(ids) == PURGE_BATCH


def _drop_unused(db: sqlite3.Connection, table: str, day: int) -> bool:
    columns = _BY_TARGET[table]
    sql = f"""DELETE FROM {table} WHERE ({columns}) IN
              (SELECT {columns} FROM {table} WHERE used_day < ? LIMIT ?)"""  # noqa: S608  # names of our own
    return db.execute(sql, (day, PURGE_BATCH)).rowcount == PURGE_BATCH


_BY_TARGET = {"customer_domains": "customer, domain", "lessons": "domain"}
