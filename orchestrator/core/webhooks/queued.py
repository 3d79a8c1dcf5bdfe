"""A delivery that waits for its endpoint, and the result that it brings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.exchange import is_secure
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.job import Job, Webhook
from orchestrator.ports.store import Ending, OutboxEntry

ENTRY_BYTES = 500
"""Of a delivery's record in memory."""


@dataclass(slots=True)
class LoadedResult:
    """One job's result in memory, and its deliveries. ``body`` is None where it is large: it stays on disk,
    and is read when it goes. ``size`` is what all this takes in memory, in bytes; ``ended_ms`` is when
    the job ended (Unix ms).
    """

    webhooks: Sequence[Webhook]
    body: bytes | None
    body_bytes: int
    entries: list[OutboxEntry]
    ended_ms: int
    traceparent: str | None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        urls = sum(len(webhook.url) for webhook in self.webhooks)
        self.size = len(self.body or b"") + urls + ENTRY_BYTES * len(self.entries)

    @classmethod
    def of_end(cls, job: Job, ending: Ending) -> "LoadedResult":
        """Hold the result of a job that has just ended."""
        return cls.of(job, ending.result, len(ending.result), ending.outbox, ending.ended_ms)

    @classmethod
    def of(
        cls, job: Job, body: bytes | None, body_bytes: int, entries: Sequence[OutboxEntry], ended_ms: int
    ) -> "LoadedResult":
        """Hold a job's result; a large one is left on disk."""
        kept = body if body_bytes <= LARGE_BYTES else None
        return cls(job.spec.webhooks, kept, body_bytes, list(entries), ended_ms, job.traceparent)


@dataclass(slots=True, eq=False)
class QueuedDelivery:
    """A delivery that waits for its endpoint. ``result`` is None where it is read when the delivery goes, and
    ``body_bytes`` 0 while nobody knows how large its body is.

    ``over_ms`` is the Unix ms after which nothing but a working receiver is worth an attempt.
    """

    job_id: JobId
    customer: CustomerId
    index: int
    over_ms: int
    result: LoadedResult | None = None
    body_bytes: int = 0
    secure: bool = field(init=False, default=True)
    """Whether it goes within TLS, where anybody knows."""

    def __post_init__(self) -> None:
        if self.result is not None:
            self.learn(self.result)

    def learn(self, result: LoadedResult) -> None:
        """Its result is known, and where that goes."""
        self.body_bytes = result.body_bytes
        self.secure = is_secure(result.webhooks[self.index].url)
