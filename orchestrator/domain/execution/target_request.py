"""What the target sees: the request asked for, and the marks of this service."""

from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.execution.course import PRIMARY
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.requests.our_headers import ATTEMPT_HEADER, JOB_ID_HEADER, REGION_HEADER
from orchestrator.domain.trace_context import HEADER


def target_request(job: Job, step: int, attempt: Attempt, traceparent: str | None = None) -> HttpRequest:
    """Write an attempt's request. Where repeating is not harmless by method alone, all attempts and race legs
    of a step carry one ``Idempotency-Key``, unless the job set its own. A fallback asks for something else,
    so its key is another. Where repeating is neither harmless nor allowed, it goes over a fresh connection:
    of an old one that a server is just closing nobody could say whether it was seen. A ``traceparent`` goes
    along unless the job set its own.
    """
    spec = job.spec.steps[step]
    headers = [
        *spec.headers,
        (JOB_ID_HEADER, job.id),
        (ATTEMPT_HEADER, str(attempt.number)),
        (REGION_HEADER, attempt.region),
    ]
    named = {name.lower() for name, _ in spec.headers}
    if not spec.idempotent_method and "idempotency-key" not in named:
        headers.append(("Idempotency-Key", job.id if step == PRIMARY else f"{job.id}-{step}"))
    if traceparent is not None and HEADER not in named:
        headers.append((HEADER, traceparent))
    return HttpRequest(
        method=spec.method,
        url=spec.url,
        headers=tuple(headers),
        body=spec.content,
        timeout_ms=spec.timeout_ms,
        owner=job.customer,
        fresh_connection=spec.guarantee.once and not spec.idempotent_method,
    )
