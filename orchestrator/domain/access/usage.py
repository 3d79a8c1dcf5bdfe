"""What a customer used, by day."""

from datetime import UTC, datetime

from msgspec import Struct

from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.retention import DAY_MS


class DayUsage(Struct, frozen=True, kw_only=True):
    """One UTC day, ``day`` since 1970. Jobs count on the day of the event, attempts when their job ended."""

    day: int
    accepted: int = 0
    success: int = 0
    failed: int = 0
    cancelled: int = 0
    attempts: int = 0

    @property
    def date(self) -> str:
        """The day as ISO 8601."""
        return datetime.fromtimestamp(self.day * DAY_MS / 1000, tz=UTC).date().isoformat()


class CustomerUsage(Struct, frozen=True):
    """What a customer used in all, from the day ``used.day`` on."""

    customer: CustomerId
    used: DayUsage


def day_of(unix_ms: int) -> int:
    """Number a day."""
    return unix_ms // DAY_MS


def added(one: DayUsage, other: DayUsage) -> DayUsage:
    """Add what was used on the same day."""
    return DayUsage(
        day=one.day,
        accepted=one.accepted + other.accepted,
        success=one.success + other.success,
        failed=one.failed + other.failed,
        cancelled=one.cancelled + other.cancelled,
        attempts=one.attempts + other.attempts,
    )
