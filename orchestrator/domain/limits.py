"""Bounds on what a submission may ask for (contract, section 1)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Sizes in bytes, times in ms, the rest are counts."""

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
    metadata_bytes: int = 64 * 1024
    repeats: int = 100
    retry_at_ahead_ms: int = 366 * 24 * 3600 * 1000
    open_jobs: int = 1_000_000
    """Of one customer, waiting or under way."""
    streams: int = 100
    """Of one customer, open at once."""
    key_length: int = 512
    timeout_most_ms: int = 600_000
