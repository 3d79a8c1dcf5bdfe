"""How long things are kept after a job's end."""

from msgspec import Struct

DAY_MS = 24 * 3600 * 1000


class Retention(Struct, frozen=True, kw_only=True):
    """Times after a job's end, in ms: of its idempotency key, of its request and answer, and of the summary
    that tells its state and times. What is known of a target is kept for ``unused_ms`` after its last job.
    """

    key_ms: int = DAY_MS
    payload_ms: int = 7 * DAY_MS
    summary_ms: int = 30 * DAY_MS
    unused_ms: int = 30 * DAY_MS
