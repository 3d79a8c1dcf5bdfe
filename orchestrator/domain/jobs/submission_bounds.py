"""Bounds on what a submission may ask for (contract, section 1)."""

from dataclasses import dataclass

from orchestrator.domain.jobs.retention import DAY_MS

KEY_LENGTH_MOST = 512
MANY_JOBS_RPS = 250.0
"""How many of one customer's jobs are cancelled or replayed in a second, where it is done with many."""
TIMEOUT_MS_MOST = 600_000

CHAIN_DEPTH_READ = 32
JOBS_READ = 256
ITEMS_READ = 500
"""Of lists and objects in a job. Deeper chains, more jobs and more items are not even read, whatever an
operator allows: a megabyte of wrong ones must not cost an error for each.
"""
JSON_DEPTH_READ = 100
URL_BYTES_READ = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionBounds:
    """What an operator may set. Sizes in bytes, times in ms, the rest are counts."""

    body_bytes: int = 1024 * 1024
    batch_bytes: int = 16 * 1024 * 1024
    batch_jobs: int = 1_000
    json_depth: int = 32
    chain_depth: int = 16
    jobs: int = 64
    webhooks: int = 20
    regions: int = 16
    headers: int = 100
    header_bytes: int = 16 * 1024
    url_bytes: int = 8 * 1024
    """Of one URL."""
    metadata_bytes: int = 64 * 1024
    repeats: int = 100
    """Retries, and reroutes."""
    retry_at_ahead_ms: int = 366 * DAY_MS
    open_jobs: int = 1_000_000
    """Of one customer, waiting or under way."""
    streams: int = 100
    """Of one customer, open at once."""
