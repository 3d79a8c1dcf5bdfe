"""What customers used, by day."""

import sqlite3

from orchestrator.domain.access.usage import DayUsage
from orchestrator.domain.ids import CustomerId

_USE = """INSERT INTO usage (customer, day, accepted, success, failed, cancelled, attempts)
          VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
          accepted = accepted + excluded.accepted, success = success + excluded.success,
          failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled,
          attempts = attempts + excluded.attempts"""


def add_usage(db: sqlite3.Connection, customer: CustomerId, more: DayUsage) -> None:
    """Add to what a customer used on a day."""
    counts = (more.accepted, more.success, more.failed, more.cancelled, more.attempts)
    db.execute(_USE, (customer, more.day, *counts))
