"""A job's end, told to those who look on: its trace, the examples of metrics, and the log."""

import logging

from orchestrator.core.counters import Counters, name_trace
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.store import Ending
from orchestrator.ports.tracing import Tracing
from orchestrator.runtime.log_format import about

log = logging.getLogger(__name__)


def tell_of_end(job: Job, ending: Ending, counters: Counters, tracing: Tracing) -> None:
    """Tell of a job whose end is on disk."""
    if (trace_id := tracing.ended(job, ending)) is not None:
        name_trace(counters, ending.course, trace_id)
    if log.isEnabledFor(logging.DEBUG):
        _log_attempts(job, ending)
        after_ms = ending.ended_ms - job.accepted_ms
        ids = about(job=job.id, customer=job.customer)
        log.debug("the job ended %s after %d ms", ending.code or ending.state, after_ms, extra=ids)


def _log_attempts(job: Job, ending: Ending) -> None:
    for step, attempt in ending.course.named_attempts:
        ids = about(job=job.id, attempt=attempt.number, customer=job.customer, region=attempt.region)
        became = attempt.status or attempt.fault or "open"
        log.debug("an attempt of step %s at %s: %s", step, job.domain, became, extra=ids)
