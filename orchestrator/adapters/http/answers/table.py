"""What each call is named in the description, and what it answers: the one table. A call that does not
stand in it can't be added.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pydantic import BaseModel

from orchestrator.adapters.http.access import ADMIN, API, JOBS_PATH
from orchestrator.adapters.http.answers import administration, common, jobs, overviews, webhooks

Model = type[BaseModel]
_JOB = f"{JOBS_PATH}/{{job_id}}"
_SECRETS = f"{API}/webhook-secrets"


class Described(NamedTuple):
    """A call's name, unique among all, and the model of each JSON answer that is no problem, by status."""

    name: str
    answers: Mapping[int, Model]


def _ok(name: str, model: Model) -> Described:
    return Described(name, {200: model})


_SUBMITTED: Mapping[int, Model] = {202: jobs.Acknowledgement, 200: jobs.Duplicate}
_REPLAYED: Mapping[int, Model] = {202: jobs.Replayed, 200: jobs.ReplayKnown}
_TEXT: Mapping[int, Model] = {}


def _of_domains(prefix: str, whose: str) -> dict[str, Described]:
    one = f"{prefix}/domains/{{domain:path}}"
    acts = {f"POST {one}:{act}": _ok(f"{act}_{whose}domain", overviews.Domain) for act in _DOMAIN_ACTS}
    return {
        f"GET {prefix}/domains": _ok(f"list_{whose}domains", overviews.DomainPage),
        **acts,
        f"PUT {one}/pace": _ok(f"set_pace_of_{whose}domain", overviews.Domain),
    }


_DOMAIN_ACTS = ("reset", "pause", "resume")
_OF_JOBS = {
    f"POST {JOBS_PATH}": Described("submit_job", _SUBMITTED),
    f"POST {JOBS_PATH}:batch": _ok("submit_batch", jobs.BatchAnswers),
    f"POST {JOBS_PATH}:cancel": _ok("cancel_jobs", jobs.ManyJobs),
    f"POST {JOBS_PATH}:replay": _ok("replay_jobs", jobs.ManyJobs),
    f"GET {JOBS_PATH}": _ok("list_jobs", jobs.JobPage),
    f"GET {_JOB}": _ok("get_job", jobs.Job),
    f"GET {_JOB}/stream": Described("stream_job", _TEXT),
    f"POST {_JOB}/replay": Described("replay_job", _REPLAYED),
    f"POST {_JOB}/redeliver": Described("redeliver_job", {202: webhooks.WebhooksAgain}),
    f"DELETE {_JOB}": _ok("cancel_job", jobs.Cancelled),
}
_OF_WEBHOOKS = {
    f"POST {_SECRETS}": _ok("set_webhook_secrets", common.Said),
    f"GET {_SECRETS}": _ok("get_webhook_secrets", webhooks.WebhookSecrets),
    f"DELETE {_SECRETS}": _ok("delete_webhook_secrets", common.Said),
    f"POST {_SECRETS}/rotate": _ok("rotate_webhook_secret", common.Said),
    f"GET {API}/webhooks/dead": _ok("list_dead_webhooks", webhooks.DeadPage),
    f"GET {API}/webhooks/pending": _ok("list_pending_webhooks", webhooks.PendingPage),
    f"POST {API}/webhooks/redeliver": Described("redeliver_webhooks", {202: webhooks.WebhooksAgain}),
}
_OF_OPERATORS = {
    f"GET {ADMIN}/customers": _ok("list_customers", administration.CustomerPage),
    f"GET {ADMIN}/customers/{{customer_id}}": _ok("get_customer", overviews.Usage),
    f"PUT {ADMIN}/customers/{{customer_id}}/plan": _ok("set_plan", administration.CustomerPlan),
    f"GET {ADMIN}/usage": _ok("list_usage_of_all", overviews.MostUsed),
    f"GET {ADMIN}/keys": _ok("list_keys", administration.KeyPage),
    f"POST {ADMIN}/keys": Described("create_key", {201: administration.NewKey}),
    f"DELETE {ADMIN}/keys/{{key_id}}": _ok("revoke_key", administration.RevokedKey),
    f"GET {ADMIN}/jobs": _ok("list_anyones_jobs", jobs.AnyonesJobPage),
    f"GET {ADMIN}/jobs/{{job_id}}": _ok("get_anyones_job", jobs.Job),
    f"DELETE {ADMIN}/jobs/{{job_id}}": _ok("cancel_anyones_job", jobs.Cancelled),
    f"POST {ADMIN}/jobs/{{job_id}}/replay": Described("replay_anyones_job", _REPLAYED),
    f"POST {ADMIN}/jobs/{{job_id}}/redeliver": Described(
        "redeliver_anyones_job", {202: webhooks.WebhooksAgain}
    ),
    f"GET {ADMIN}/regions": _ok("list_all_regions", overviews.Regions),
    f"POST {ADMIN}/regions/{{region}}:drain": _ok("drain_region", overviews.Regions),
    f"POST {ADMIN}/regions/{{region}}:undrain": _ok("undrain_region", overviews.Regions),
    f"GET {ADMIN}/log-level": _ok("get_log_levels", administration.LogLevels),
    f"PUT {ADMIN}/log-level": _ok("set_log_level", administration.LogLevels),
    f"GET {ADMIN}/audit": _ok("list_audit", administration.AuditPage),
}
DESCRIBED: Mapping[str, Described] = MappingProxyType(
    {
        **_OF_JOBS,
        **_OF_WEBHOOKS,
        **_OF_OPERATORS,
        **_of_domains(API, ""),
        **_of_domains(ADMIN, "anyones_"),
        f"GET {API}/usage": _ok("get_usage", overviews.Usage),
        f"GET {API}/regions": _ok("list_regions", overviews.Regions),
        f"POST {API}/proxy": Described(
            "open_envelope", {200: administration.EnvelopeAnswer, 429: administration.EnvelopeDenied}
        ),
        "GET /healthz": _ok("get_health", overviews.Health),
        "GET /readyz": _ok("get_readiness", overviews.Readiness),
        "GET /metrics": Described("get_metrics", _TEXT),
    }
)
