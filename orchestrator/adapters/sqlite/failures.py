"""Why jobs failed, by code, so that lists find them: the result itself is sealed."""

import json
import sqlite3

from orchestrator.adapters.damage import reading
from orchestrator.adapters.sealing import sealing_context
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError


def note_failure(db: sqlite3.Connection, job_id: str, code: str) -> None:
    """Write down why a job failed."""
    sql = "INSERT OR REPLACE INTO failures SELECT id, customer, ?, accepted_ms FROM jobs WHERE id = ?"
    db.execute(sql, (code, job_id))


def note_earlier_failures(db: sqlite3.Connection, box: SecretBox) -> None:
    """Write down why the jobs failed that ended before this was kept."""
    sql = "SELECT id, customer, result FROM jobs WHERE state IN (?, ?) AND result IS NOT NULL"
    for job_id, customer, sealed in db.execute(sql, (JobState.FAILED, JobState.CANCELLED)).fetchall():
        try:
            with reading("result"):
                result = json.loads(box.open(sealed, sealing_context(customer, job_id, "result")))
        except DamagedError:
            # It says so itself, once it is asked for.
            continue
        if error := result.get("error"):
            note_failure(db, job_id, error["code"])
