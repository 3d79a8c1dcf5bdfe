"""What the embedded store forgets, and when: keys first, then payloads, then the summary of a job."""

import sqlite3

from orchestrator.adapters.store.listing import delivery_in
from orchestrator.adapters.store.records import pack_delivery
from orchestrator.domain.retention import Retention

PURGE_BATCH = 1_000


def purge(db: sqlite3.Connection, now_ms: int, retention: Retention) -> bool:
    """Forget a batch of each; say whether there may be more."""
    key_sql = """UPDATE jobs SET idem_holds = 0 WHERE id IN
                 (SELECT id FROM jobs WHERE idem_holds = 1 AND ended_ms <= ? LIMIT ?)"""
    keys = db.execute(key_sql, (now_ms - retention.key_ms, PURGE_BATCH)).rowcount
    payload_sql = "SELECT id, state, quorum FROM jobs WHERE result IS NOT NULL AND ended_ms <= ? LIMIT ?"
    rows = db.execute(payload_sql, (now_ms - retention.payload_ms, PURGE_BATCH)).fetchall()
    for job_id, state, quorum in rows:
        _forget_payload(db, job_id, pack_delivery(delivery_in(db, job_id, state, quorum)))
    gone_sql = "SELECT id FROM jobs WHERE result IS NULL AND ended_ms <= ? LIMIT ?"
    ids = db.execute(gone_sql, (now_ms - retention.summary_ms, PURGE_BATCH)).fetchall()
    db.executemany("DELETE FROM jobs WHERE id = ?", ids)
    return PURGE_BATCH in (keys, len(rows), len(ids))


def _forget_payload(db: sqlite3.Connection, job_id: str, delivery: bytes) -> None:
    sql = "UPDATE jobs SET request = x'', run = NULL, result = NULL, quorum = ?, idem_holds = 0 WHERE id = ?"
    db.execute(sql, (delivery, job_id))
    db.execute("DELETE FROM deliveries WHERE job_id = ?", (job_id,))
