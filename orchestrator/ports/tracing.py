"""Where the spans of jobs go, if anywhere."""

from typing import Protocol

from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Job
from orchestrator.ports.store import Ending, OutboxEntry


class Tracing(Protocol):
    """Is told of what is over, with its times; nothing is held open in between. ``traceparent`` is a job's.

    What comes back is the id of the trace where it is kept: metrics name it beside what they count.
    """

    def onward(self, job_id: JobId, traceparent: str | None, *span: object) -> str | None:
        """Write the ``traceparent`` that goes out with what a span of a job does; None where none does.
        ``span`` is an attempt's number, or a delivery's id and number; nothing is the job itself.
        """

    def submitted(self, job: Job, now_ms: int) -> None:
        """A job is on disk and in its queue (Unix ms)."""

    def ended(self, job: Job, ending: Ending) -> str | None:
        """A job's end is on disk."""

    def delivered(self, job_id: JobId, traceparent: str | None, entry: OutboxEntry) -> str | None:
        """An attempt at a receiver is over: the last line of the entry's log."""


class NoTracing:
    """Makes no span, and hands on what a submission brought as it came."""

    def onward(self, job_id: JobId, traceparent: str | None, *span: object) -> str | None:  # noqa: ARG002  # the port's
        """Give the submission's own."""
        return traceparent

    def submitted(self, job: Job, now_ms: int) -> None:
        """Nobody is told."""

    def ended(self, job: Job, ending: Ending) -> str | None:  # noqa: ARG002  # the port's
        """Nobody is told."""
        return None

    def delivered(self, job_id: JobId, traceparent: str | None, entry: OutboxEntry) -> str | None:  # noqa: ARG002  # the port's
        """Nobody is told."""
        return None


NO_TRACING = NoTracing()
