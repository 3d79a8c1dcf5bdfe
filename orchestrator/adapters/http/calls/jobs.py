"""The calls about jobs: a customer's own, and, for operators, anybody's."""

from collections.abc import Mapping

from orchestrator.adapters.http.access import ADMIN, JOBS_PATH
from orchestrator.adapters.http.admin_job_routes import AdminJobRoutes
from orchestrator.adapters.http.backend import Backend, paged
from orchestrator.adapters.http.calls.fields import ACCEPTED, CUSTOMER, JOB_FILTERS, PAGE, SUBMITTED
from orchestrator.adapters.http.job_routes import WAIT_MOST_S, JobRoutes
from orchestrator.adapters.http.many_job_routes import ManyJobRoutes
from orchestrator.adapters.http.openapi import Calls, JsonSchema
from orchestrator.adapters.http.schema import BatchIn, ManyJobsIn, SubmissionIn
from orchestrator.adapters.http.submission_routes import SubmissionRoutes

_SECONDS = {"type": "number", "minimum": 0, "maximum": WAIT_MOST_S}
_JOB: Mapping[str, JsonSchema] = {"wait": _SECONDS, "include": {"type": "string", "enum": ["body"]}}


def add_jobs(calls: Calls, backend: Backend) -> None:
    """Add what a customer does with jobs."""
    submissions, many = SubmissionRoutes(backend), ManyJobRoutes(backend)
    calls.add(f"POST {JOBS_PATH}", submissions.submit, body=SubmissionIn, answers=SUBMITTED, errors=(429,))
    calls.add(f"POST {JOBS_PATH}:batch", submissions.submit_batch, body=BatchIn, errors=(429,))
    calls.add(f"POST {JOBS_PATH}:cancel", many.cancel, body=ManyJobsIn, errors=(429,))
    calls.add(f"POST {JOBS_PATH}:replay", many.replay, body=ManyJobsIn, errors=(429,))
    _add_one_job(calls, backend, JobRoutes(backend))


def _add_one_job(calls: Calls, backend: Backend, jobs: JobRoutes) -> None:
    one = f"{JOBS_PATH}/{{job_id}}"
    calls.add(f"GET {JOBS_PATH}", paged(backend, jobs.list_jobs), query={**JOB_FILTERS, **PAGE})
    calls.add(f"GET {one}", jobs.show, query=_JOB, errors=(404, 409))
    calls.add(
        f"GET {one}/stream",
        jobs.stream,
        answers={200: "Server-Sent Events", 204: "All was told"},
        errors=(404, 409, 429),
        media="text/event-stream",
    )
    calls.add(f"POST {one}/replay", jobs.replay, answers=SUBMITTED, errors=(404, 409, 429))
    calls.add(f"DELETE {one}", jobs.cancel, errors=(404, 409))


def add_jobs_of_all(calls: Calls, backend: Backend) -> None:
    """Add what operators do with jobs of anybody."""
    jobs = AdminJobRoutes(backend)
    one, query = f"{ADMIN}/jobs/{{job_id}}", {"customer": CUSTOMER, **JOB_FILTERS, **PAGE}
    calls.add(f"GET {ADMIN}/jobs", paged(backend, jobs.list_jobs), query=query)
    calls.add(f"GET {one}", jobs.show, query=_JOB, errors=(404, 409))
    calls.add(f"DELETE {one}", jobs.cancel, errors=(404, 409))
    calls.add(f"POST {one}/replay", jobs.replay, answers=SUBMITTED, errors=(404, 409, 429))
    calls.add(f"POST {one}/redeliver", jobs.redeliver, answers=ACCEPTED, errors=(404, 409))
