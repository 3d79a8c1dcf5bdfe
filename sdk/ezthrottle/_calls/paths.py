"""The paths of the API's calls."""

from __future__ import annotations

from urllib.parse import quote

_API = "/api/v1"
JOBS = f"{_API}/jobs"
BATCH = f"{_API}/jobs:batch"
CANCELLATION = f"{_API}/jobs:cancel"
REPLAYS = f"{_API}/jobs:replay"
SECRETS = f"{_API}/webhook-secrets"
ROTATION = f"{SECRETS}/rotate"
PENDING_WEBHOOKS = f"{_API}/webhooks/pending"
DEAD_WEBHOOKS = f"{_API}/webhooks/dead"
REDELIVERY = f"{_API}/webhooks/redeliver"
USAGE = f"{_API}/usage"
REGIONS = f"{_API}/regions"
DOMAINS = f"{_API}/domains"


def job_path(job_id: str) -> str:
    """Return the path of a job; raises TypeError or ValueError where that is no id."""
    if not isinstance(job_id, str):
        raise TypeError(f'job_id is a {type(job_id).__name__}: give the text that an answer has as "job_id"')
    if not job_id:
        raise ValueError("job_id is empty")
    return f"{JOBS}/{quote(job_id, safe='')}"
