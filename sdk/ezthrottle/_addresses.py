"""Where things are: the service's calls, and this machine's webhook server."""

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

JSON_HEADERS = {"Content-Type": "application/json"}

DEFAULT_WEBHOOK_PORT = 5000
WEBHOOK = "/webhook"
# The parameter by which a webhook names what waits for it, where the job's id was not known before.
WORKFLOW = "workflow"


def job_path(job_id: str) -> str:
    """Return the path of a job; raises TypeError or ValueError where that is no id."""
    if not isinstance(job_id, str):
        raise TypeError(f'job_id is a {type(job_id).__name__}: give the text that an answer has as "job_id"')
    if not job_id:
        raise ValueError("job_id is empty")
    return f"{JOBS}/{quote(job_id, safe='')}"
