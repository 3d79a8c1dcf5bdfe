"""Handing jobs to the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable

from ezthrottle._calls.call import submission
from ezthrottle._calls.filters import refuse_unknown
from ezthrottle._calls.notices import tell_of
from ezthrottle._jobs.fields import JobOptions
from ezthrottle._jobs.payload import encoded, job_payload
from ezthrottle._operations.operation import Operation
from ezthrottle.exceptions import ServiceUnreachableError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ezthrottle._operations.batches import Job, Progress
    from ezthrottle.types import Acknowledgement, ExecutionMode, RegionPolicy, RetryPolicy, Webhook


class Submitting(Operation):
    """Submits jobs.

    >>> run(Submitting(service, client).submit_job("https://api.example.com"))["job_id"]
    'job_1763674210055_853341'
    """

    async def submit_job(  # noqa: PLR0917 - the published signature
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        metadata: Mapping[str, Any] | None = None,
        webhooks: list[Webhook] | tuple[Webhook, ...] | None = None,
        webhook_quorum: int = 1,
        regions: list[str] | tuple[str, ...] | None = None,
        region_policy: RegionPolicy = "fallback",
        execution_mode: ExecutionMode = "race",
        retry_policy: RetryPolicy | None = None,
        fallback_job: Mapping[str, Any] | None = None,
        on_success: Mapping[str, Any] | None = None,
        on_failure: Mapping[str, Any] | None = None,
        on_failure_timeout_ms: int | None = None,
        idempotent_key: str | None = None,
        retry_at: int | None = None,
        **options: Unpack[JobOptions],
    ) -> Acknowledgement:
        """Submit a job: the service sends the request, at the pace its target allows. The fields, `options`
        among them, are described in `ezthrottle.types.JobDict`.

        Returns `job_id`, `status` ("queued", "racing", "scheduled" or "duplicate"), `idempotent_key` and
        more. Repeated on connection errors, 502, 503 and 504, which the key makes safe. Raises
        InvalidJobError, AuthenticationError, QuotaExceededError, ServiceUnavailableError or
        ServiceUnreachableError; TypeError or ValueError, which name the field, for what is no JSON. Warns
        (EZThrottleWarning) of what the answer warns of, and of a duplicate that may not be meant.
        """
        sent = {"headers": headers, "body": body, "metadata": metadata}
        delivered = {"webhooks": webhooks, "webhook_quorum": webhook_quorum}
        ran = {"regions": regions, "region_policy": region_policy, "execution_mode": execution_mode}
        failed = {"retry_policy": retry_policy, "fallback_job": fallback_job, "on_failure": on_failure}
        after = {"on_success": on_success, "on_failure_timeout_ms": on_failure_timeout_ms}
        once = {"idempotent_key": idempotent_key, "retry_at": retry_at}
        refuse_unknown("submit_job", options, JobOptions.__annotations__)
        job = job_payload(url, method, {**sent, **delivered, **ran, **failed, **after, **once, **options})
        answer = await self._service.call(submission(encoded(job)))
        tell_of(answer)
        return answer

    async def submit_many(
        self, jobs: Iterable[Job], progress: Progress | None = None
    ) -> list[Acknowledgement]:
        """Submit many jobs in few calls, and return the service's answer to each, in their order.

        A job is a mapping of the arguments of `submit_job`, or a `Step`, which is run by the service whatever
        its type. `jobs` may be a generator: no more of it is read than is being sent. `progress(done, total)`
        is called as answers come in; `total` is None where `jobs` has no length. A service that takes no
        batches gets the jobs one by one, several at a time.

        Raises BatchError where some of them were not taken, with an answer or an error for each, and what
        `submit_job` raises where the service takes none. What is no job is a TypeError or ValueError, before
        anything is sent where `jobs` is a sequence. Where a generator fails, or yields what is no job, when
        some were sent, it is the cause of a BatchError that holds their answers.
        Repeating it is safe for jobs whose key is equal.
        """
        from ezthrottle._operations.batches import Submission  # noqa: PLC0415 - few programs submit many jobs

        return await Submission(self._service, progress).answers(jobs)

    async def forward_or_fallback(
        self,
        /,
        fallback: Callable[[], Any],
        url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Submit a job, or return what `fallback()` returns where the service is unreachable.

        `kwargs` are further arguments of `submit_job`. An answer that refuses the job is raised, not
        answered by the fallback: the service is there then, and says what to correct.
        """
        try:
            return await self._submitted(url=url, method=method, headers=headers, body=body, **kwargs)
        except ServiceUnreachableError:
            return await self._service.runtime.outcome_of(fallback())
