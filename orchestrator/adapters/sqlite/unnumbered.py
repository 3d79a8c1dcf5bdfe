"""What a data directory lacks that was made before directories carried the number of their schema."""

import logging
import sqlite3
import time

from orchestrator.adapters.damage import reading
from orchestrator.adapters.records import unpack_spec
from orchestrator.adapters.sealing import sealing_context
from orchestrator.domain.access.usage import day_of
from orchestrator.domain.ids import target_domain
from orchestrator.ports.secret_box import SecretBox
from orchestrator.ports.store import DamagedError

LATER_COLUMNS = (
    ("jobs", "quorum", "BLOB"),
    ("jobs", "queued_as", "BLOB"),
    ("deliveries", "endpoint", "TEXT NOT NULL DEFAULT ''"),
    ("lessons", "used_day", "INTEGER NOT NULL DEFAULT 0"),
    ("customer_domains", "used_day", "INTEGER NOT NULL DEFAULT 0"),
)
LATER_INDEXES = (
    """CREATE INDEX IF NOT EXISTS deliveries_dead_at ON deliveries (customer, endpoint, next_ms, id)
       WHERE state = 'failed'""",
    "CREATE INDEX IF NOT EXISTS lessons_used ON lessons (used_day)",
    "CREATE INDEX IF NOT EXISTS customer_domains_used ON customer_domains (used_day)",
)
"""Over columns of which an earlier version may have made none: they come after those."""

log = logging.getLogger(__name__)


def complete_unnumbered(db: sqlite3.Connection, box: SecretBox) -> None:
    """Add the columns that its tables lack, fill them where that is needed, and add the indexes over them."""
    added = [(table, name) for table, name, kind in LATER_COLUMNS if _add_column(db, table, name, kind)]
    if ("deliveries", "endpoint") in added:
        name_endpoints(db, box)
    for table in [table for table, name in added if name == "used_day"]:
        db.execute(f"UPDATE {table} SET used_day = ?", (today(),))  # noqa: S608  # names of our own
    for index in LATER_INDEXES:
        db.execute(index)


def today() -> int:
    """The day, as rows about targets tell when they were used last."""
    return day_of(time.time_ns() // 1_000_000)


def _add_column(db: sqlite3.Connection, table: str, name: str, kind: str) -> bool:
    known = {row["name"] for row in db.execute(f"PRAGMA table_info({table})")}
    if name not in known:
        db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    return name not in known


def name_endpoints(db: sqlite3.Connection, box: SecretBox) -> None:
    """Say whom each delivery that is still to be made, or failed, goes to. Without a name of their own all
    would wait in one line, behind whichever receiver hangs.
    """
    open_jobs = db.execute("SELECT DISTINCT job_id FROM deliveries WHERE state <> 'delivered'").fetchall()
    for (job_id,) in open_jobs:
        find = "SELECT customer, request FROM jobs WHERE id = ? AND length(request) > 0"
        for customer, request in db.execute(find, (job_id,)).fetchall():
            try:
                with reading("request"):
                    spec = unpack_spec(box.open(request, sealing_context(customer, job_id, "request")))
            except DamagedError as error:
                log.warning("%s is damaged, its receivers stay without a name: %s", job_id, error)
                continue
            names = enumerate(target_domain(webhook.url) for webhook in spec.webhooks)
            db.executemany(
                "UPDATE deliveries SET endpoint = ? WHERE job_id = ? AND position = ?",
                [(name, job_id, position) for position, name in names],
            )
