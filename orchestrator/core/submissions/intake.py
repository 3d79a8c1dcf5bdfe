"""Submissions: checked whole, deduplicated, committed, and only then acknowledged."""

from collections.abc import Sequence
from random import Random

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.submissions.batch_commits import commits_of
from orchestrator.core.submissions.submission_checks import SubmissionChecks, first_refusal, urls_of
from orchestrator.core.views import Acknowledgement, KnownAlready, Taken
from orchestrator.domain.errors import EZThrottleError, NotReady, OverLimit
from orchestrator.domain.ids import CustomerId, new_job_id, target_domain
from orchestrator.domain.jobs.idempotency import content_key
from orchestrator.domain.jobs.job import Job, JobSpec
from orchestrator.domain.jobs.lifecycle import first_state
from orchestrator.domain.jobs.submission import warnings
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Accepted, Duplicate, JobStore, StoreFailure
from orchestrator.runtime.cooperative_yield import CooperativeYield

RETRY_STORE_AFTER_S = 5
OPEN_AGAIN_AFTER_S = 10


class Intake:
    """The way in.

    Args:
        shard: Queues what is on disk.
        store: Where jobs are stored.
        clock: Time.
        random: For ids, not for secrets.
        checks: What a submission has to pass.
    """

    def __init__(
        self,
        shard: ShardClient,
        store: JobStore,
        clock: Clock,
        random: Random,
        checks: SubmissionChecks,
    ) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock
        self._random = random
        self.checks = checks
        self._guard = checks.guard
        self._bounds = checks.bounds

    async def submit(self, customer: CustomerId, spec: JobSpec, traceparent: str | None = None) -> Taken:
        """Take one job, which belongs to a trace as ``domain.trace_context`` reads that, or to none.

        Raises:
            InvalidFields: Fields are wrong; all are named.
            TargetNotAllowed: The target or a webhook may not be called.
            OverLimit: The customer has as many open jobs as may be.
            NotReady: The service is stopping, or its disk takes nothing.
        """
        self._check_accepting()
        began, now_ms = self._clock.now(), self._clock.unix_ms()
        self.checks.check(spec, now_ms)
        if (refusal := first_refusal(spec, await self._guard.refusals(urls_of(spec)))) is not None:
            raise refusal
        job = self._job(customer, spec, now_ms, traceparent)
        if spec.has_webhooks:
            await self._shard.learn_secrets(customer)
        if not self._shard.reserve(customer, 1, self._bounds.open_jobs):
            return self._only_known(job, *await self._store.duplicates_of([job]))
        try:
            stored = await self._store.submit(job)
        except StoreFailure as error:
            raise _not_stored() from error
        finally:
            self._shard.release(customer, 1)
        self._shard.count_acknowledged(self._clock.now() - began)
        return self._answer(job, stored)

    async def submit_many(
        self,
        customer: CustomerId,
        specs: Sequence[JobSpec | EZThrottleError],
        traceparent: str | None = None,
    ) -> list[Taken | EZThrottleError]:
        """Take many jobs, some with each commit, and answer each as if it had come alone. What comes as an
        error goes back as that error.

        Raises:
            NotReady: The service is starting or stopping; none was taken.
        """
        self._check_accepting()
        answers: list[Taken | EZThrottleError] = []
        for some in commits_of(specs):
            answers += await self._submit_some(customer, some, traceparent)
        return answers

    async def _submit_some(
        self, customer: CustomerId, specs: Sequence[JobSpec | EZThrottleError], traceparent: str | None
    ) -> list[Taken | EZThrottleError]:
        now_ms = self._clock.unix_ms()
        judged = await self.checks.judge(specs, now_ms)
        if any(spec.has_webhooks for spec in judged if isinstance(spec, JobSpec)):
            await self._shard.learn_secrets(customer)
        jobs = await self._jobs(customer, judged, now_ms, traceparent)
        taken = iter(await self._take(customer, jobs))
        return [spec if isinstance(spec, EZThrottleError) else next(taken) for spec in judged]

    async def _take(self, customer: CustomerId, jobs: list[Job]) -> list[Taken | EZThrottleError]:
        try:
            admitted, reserved = await self._admitted(customer, jobs)
        except StoreFailure:
            return [_not_stored() for _ in jobs]
        going = [job for job in admitted if isinstance(job, Job)]
        try:
            stored = await self._store.submit_many(going)
        except StoreFailure:
            return [_not_stored() if isinstance(job, Job) else job for job in admitted]
        finally:
            self._shard.release(customer, reserved)
        # Nothing may come between the commit and this: a job on disk has to be in its queue.
        answers = map(self._answer, going, stored)
        return [next(answers) if isinstance(job, Job) else job for job in admitted]

    async def _jobs(
        self,
        customer: CustomerId,
        judged: Sequence[JobSpec | EZThrottleError],
        now_ms: int,
        traceparent: str | None,
    ) -> list[Job]:
        breather = CooperativeYield(self._clock.now)
        jobs = []
        for spec in judged:
            if isinstance(spec, JobSpec):
                # A job that brings no key is hashed whole.
                jobs.append(self._job(customer, spec, now_ms, traceparent))
                await breather.pause()
        return jobs

    async def _admitted(
        self, customer: CustomerId, jobs: list[Job]
    ) -> tuple[list[Job | KnownAlready | OverLimit], int]:
        """Say which jobs may be stored, and for how many of them a place is kept."""
        most = self._bounds.open_jobs
        if self._shard.reserve(customer, len(jobs), most):
            return [*jobs], len(jobs)
        admitted: list[Job | KnownAlready | OverLimit] = []
        keys: set[str] = set()
        for job, known in zip(jobs, await self._store.duplicates_of(jobs), strict=True):
            # One whose key a job before it in the batch brings takes no place.
            if known is None and (job.idempotent_key in keys or self._shard.reserve(customer, 1, most)):
                keys.add(job.idempotent_key)
                admitted.append(job)
            else:
                admitted.append(self._over_limit() if known is None else self._known(job, known))
        return admitted, len(keys)

    def _only_known(self, job: Job, known: Duplicate | None) -> KnownAlready:
        if known is None:
            raise self._over_limit()
        return self._known(job, known)

    def _over_limit(self) -> OverLimit:
        message = f"{self._bounds.open_jobs} jobs are open, and more may not be at once: wait for some to end"
        return OverLimit(message, OPEN_AGAIN_AFTER_S)

    def _check_accepting(self) -> None:
        if not self._shard.accepting:
            raise NotReady("the service is starting or stopping", retry_after_s=1)

    def _answer(self, job: Job, stored: Accepted | Duplicate) -> Taken:
        return self._acknowledge(job) if isinstance(stored, Accepted) else self._known(job, stored)

    def _known(self, job: Job, first: Duplicate) -> KnownAlready:
        self._shard.count_duplicate()
        return KnownAlready(duplicate=first, idempotent_key=job.idempotent_key, warnings=self._warnings(job))

    def _warnings(self, job: Job) -> list[str]:
        return warnings(job.spec, signed=self._shard.signs(job.customer))

    def _job(self, customer: CustomerId, spec: JobSpec, now_ms: int, traceparent: str | None) -> Job:
        return Job(
            id=new_job_id(now_ms, self._random),
            customer=customer,
            domain=target_domain(spec.url),
            idempotent_key=spec.idempotent_key or content_key(customer, spec.url, spec.method, spec.content),
            accepted_ms=now_ms,
            spec=spec,
            traceparent=traceparent,
        )

    def _acknowledge(self, job: Job) -> Acknowledgement:
        place = self._shard.admit(job)
        scheduled_s = ((job.spec.retry_at or 0) - job.accepted_ms) / 1000
        return Acknowledgement(
            job_id=job.id,
            state=first_state(job.accepted_ms, job.spec.retry_at),
            racing=job.spec.racing,
            idempotent_key=job.idempotent_key,
            queued_at_ms=job.accepted_ms,
            position=place.position,
            wait_s=max(place.wait_s, scheduled_s),
            warnings=self._warnings(job),
        )


def _not_stored() -> NotReady:
    return NotReady("the job could not be stored; it was not accepted", RETRY_STORE_AFTER_S)
