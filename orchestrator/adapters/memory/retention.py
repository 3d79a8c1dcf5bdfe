"""What the store in memory forgets, and when."""

from orchestrator.adapters.memory.tables import Tables
from orchestrator.domain.jobs.retention import Retention


def forget_old(tables: Tables, now_ms: int) -> None:
    """Forget keys, then payloads, then summaries that are past their keeping (Unix ms)."""
    kept = Retention()
    for job_id, row in list(tables.rows.items()):
        age_ms = now_ms - row.ended_ms if row.ended_ms is not None else -1
        key = (row.job.customer, row.job.idempotent_key)
        # A key that was freed early may belong to a newer job by now.
        if age_ms >= kept.key_ms and tables.keys.get(key) == job_id:
            del tables.keys[key]
        if age_ms >= kept.payload_ms and not row.forgotten:
            tables.outbox.pop(job_id, None)
            row.forgotten = True
        if age_ms >= kept.summary_ms:
            del tables.rows[job_id]
