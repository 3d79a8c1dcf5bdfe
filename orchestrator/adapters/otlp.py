"""Spans of jobs by OTLP over HTTP: the one module that knows the OpenTelemetry SDK, which is an extra.

Spans are made of what is over, in one go: docs/decisions/0041-spans-of-what-is-over.md.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.course import PRIMARY, step_name
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import Attempt
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.trace_context import TraceContext, span_id_of, trace_of, traceparent_of
from orchestrator.domain.webhooks.fanout import is_accepted
from orchestrator.ports.lifecycle import Closeable
from orchestrator.ports.store import Ending, OutboxEntry
from orchestrator.runtime.version import VERSION

_NS_IN_MS = 1_000_000
Attributes = dict[str, str | int | bool]


class _Span(Struct, frozen=True, kw_only=True):
    """A span that is over, before it has an id. Unix ms; ``names`` are those that its id is made of."""

    title: str
    names: tuple[object, ...]
    began_ms: float
    ended_ms: float
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, str | int | bool] = {}
    error: str = ""
    inner: tuple["_Span", ...] = ()


class OtlpTracing(Closeable):
    """The Tracing port. Everything but which jobs have spans, and what these say, is set by the ``OTEL_*``
    variables (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
    """

    def __init__(self) -> None:
        self._ids = _GivenIds()
        self._provider = TracerProvider(id_generator=self._ids, resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("ezthrottle", VERSION)

    def onward(self, job_id: JobId, traceparent: str | None, *span: object) -> str | None:
        """Name the span as the parent of what follows; a trace that is not kept is handed on as it came."""
        context = trace_of(job_id, traceparent)
        return traceparent_of(context, job_id, *span) if self._keeps(context) else traceparent

    def submitted(self, job: Job, now_ms: int) -> None:
        """Make the span of a submission, from when it was judged until it was on disk."""
        context = trace_of(job.id, job.traceparent)
        if self._keeps(context):
            span = _Span(title="submit", names=(job.id, "submit"), began_ms=job.accepted_ms, ended_ms=now_ms)
            self._export(span, context.trace_id, span_id_of(job.id))

    def ended(self, job: Job, ending: Ending) -> str | None:
        """Make the spans of a job, of its waits and of its attempts."""
        context = trace_of(job.id, job.traceparent)
        if not self._keeps(context):
            return None
        self._export(_span_of_job(job, ending), context.trace_id, context.parent_id)
        return context.trace_id

    def delivered(self, job_id: JobId, traceparent: str | None, entry: OutboxEntry) -> str | None:
        """Make the span of an attempt at a receiver."""
        context = trace_of(job_id, traceparent)
        if not self._keeps(context):
            return None
        self._export(_span_of_delivery(entry), context.trace_id, span_id_of(job_id))
        return context.trace_id

    def close(self) -> None:
        """Send what waits, and end the thread that sends; blocks until it has."""
        self._provider.shutdown()

    def _keeps(self, context: TraceContext) -> bool:
        """Ask the sampler, which goes by the trace and the parent: whoever asks of a job hears the same."""
        parent = _parent(context.trace_id, context.parent_id, sampled=context.sampled)
        found = self._provider.sampler.should_sample(parent, int(context.trace_id, 16), "job")
        return found.decision is Decision.RECORD_AND_SAMPLE

    def _export(self, span: _Span, trace_id: str, parent_id: str) -> None:
        span_id = span_id_of(*span.names)
        self._ids.next = int(trace_id, 16), int(span_id, 16)
        made = self._tracer.start_span(
            span.title,
            _parent(trace_id, parent_id, sampled=True),
            span.kind,
            span.attributes,
            start_time=_ns(span.began_ms),
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(_ns(max(span.began_ms, span.ended_ms)))
        for inner in span.inner:
            self._export(inner, trace_id, span_id)


class _GivenIds(IdGenerator):
    """Gives the ids that are set, of a trace and of a span."""

    def __init__(self) -> None:
        self.next = (0, 0)

    def generate_trace_id(self) -> int:
        """Give that of the trace."""
        return self.next[0]

    def generate_span_id(self) -> int:
        """Give that of the span."""
        return self.next[1]


def _span_of_job(job: Job, ending: Ending) -> _Span:
    lost = ending.state is JobState.FAILED
    attributes: Attributes = {
        "ezthrottle.job.id": job.id,
        "ezthrottle.job.state": ending.state.value,
        "ezthrottle.customer": job.customer,
        "server.address": job.domain,
        "http.request.method": job.spec.method,
    }
    if ending.code is not None:
        attributes["error.type"] = ending.code
    return _Span(
        title=f"job {job.spec.method}",
        names=(job.id,),
        began_ms=job.accepted_ms,
        ended_ms=ending.ended_ms,
        attributes=attributes,
        error=ending.code or "failed" if lost else "",
        inner=tuple(_spans_of_attempts(job, ending)),
    )


def _spans_of_attempts(job: Job, ending: Ending) -> Iterator[_Span]:
    """Give each leg's attempts, and its waits: for its first permit, and between two attempts. A fallback has
    waited since the attempt before it.
    """
    free_ms: dict[tuple[str, int], float] = {}
    before_ms = begins_ms = float(job.begins_ms)
    for step, attempt in ending.course.named_attempts:
        first_ms = begins_ms if step == step_name(PRIMARY) else before_ms
        since_ms = free_ms.get((step, attempt.leg), first_ms)
        before_ms = free_ms[step, attempt.leg] = float(attempt.ended_ms or ending.ended_ms)
        yield _Span(
            title="wait",
            names=(job.id, attempt.number, "wait"),
            began_ms=min(since_ms, attempt.granted_ms),
            ended_ms=attempt.granted_ms,
            attributes={"ezthrottle.leg": attempt.leg, "ezthrottle.step": step},
        )
        yield _span_of_attempt(job, step, attempt, ending.ended_ms)


def _span_of_attempt(job: Job, step: str, attempt: Attempt, ended_ms: int) -> _Span:
    attributes: Attributes = {
        "ezthrottle.attempt": attempt.number,
        "ezthrottle.leg": attempt.leg,
        "ezthrottle.step": step,
        "ezthrottle.region": attempt.region,
    }
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.fault is not None:
        attributes["error.type"] = attempt.fault.value
    if attempt.node is not None:
        attributes["ezthrottle.node"] = attempt.node
    return _Span(
        title=f"attempt {attempt.region}",
        names=(job.id, attempt.number),
        began_ms=attempt.granted_ms,
        ended_ms=attempt.ended_ms or ended_ms,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        error=_error_of(attempt),
        inner=tuple(_phases(job.id, attempt)),
    )


def _error_of(attempt: Attempt) -> str:
    # Who is cancelled has lost a race, or was not waited for: nothing is wrong there.
    if attempt.verdict is Verdict.SUCCESS or attempt.fault is Fault.CANCELLED:
        return ""
    return str(attempt.fault or attempt.status or "")


def _phases(job_id: JobId, attempt: Attempt) -> Iterator[_Span]:
    """Tell connecting, writing, waiting for the answer and reading it apart, as far as is known."""
    at_ms: float = attempt.granted_ms
    started_ms, ended_ms = attempt.started_ms, attempt.ended_ms
    if started_ms is None or ended_ms is None:
        return
    if attempt.write_ms is None or attempt.wait_ms is None:
        until = {"connect": float(started_ms)}
    else:
        written_ms = started_ms + attempt.write_ms
        answered_ms = written_ms + attempt.wait_ms
        until = {
            "connect": float(started_ms),
            "write": written_ms,
            "wait for answer": answered_ms,
            "read": max(answered_ms, ended_ms),
        }
    for title, until_ms in until.items():
        yield _Span(title=title, names=(job_id, attempt.number, title), began_ms=at_ms, ended_ms=until_ms)
        at_ms = until_ms


def _span_of_delivery(entry: OutboxEntry) -> _Span:
    line, number = entry.log[-1], len(entry.log)
    attributes: Attributes = {
        "ezthrottle.job.id": entry.job_id,
        "ezthrottle.webhook.id": entry.id,
        "ezthrottle.attempt": number,
        "server.address": entry.endpoint,
        "http.request.method": "POST",
    }
    if line.status is not None:
        attributes["http.response.status_code"] = line.status
    if line.region:
        attributes["ezthrottle.region"] = line.region
    return _Span(
        title="deliver",
        names=(entry.job_id, entry.id, number),
        began_ms=line.at_ms - line.took_ms,
        ended_ms=line.at_ms,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        error="" if is_accepted(line.status) else line.message or str(line.status),
    )


def _parent(trace_id: str, parent_id: str, *, sampled: bool) -> Any:
    """Make the context that a span hangs from; an empty one for a span that begins its trace."""
    if not parent_id:
        return trace.set_span_in_context(trace.INVALID_SPAN)
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    known = SpanContext(int(trace_id, 16), int(parent_id, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(known))


def _resource() -> Resource:
    ours = {SERVICE_VERSION: VERSION}
    # What the variable says goes before what is given here only if this does not name it.
    if not os.environ.get("OTEL_SERVICE_NAME"):
        ours[SERVICE_NAME] = "ezthrottle"
    return Resource.create(ours)


def _ns(unix_ms: float) -> int:
    return round(unix_ms * _NS_IN_MS)
