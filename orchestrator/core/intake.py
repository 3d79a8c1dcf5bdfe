"""Submissions: checked whole, deduplicated, committed, and only then acknowledged."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.views import Acknowledgement, KnownAlready, Taken
from orchestrator.domain.byte_budget import KIB
from orchestrator.domain.errors import (
    EZThrottleError,
    FieldError,
    InvalidFields,
    NotReady,
    OverLimit,
    TargetNotAllowed,
)
from orchestrator.domain.idempotency import content_key
from orchestrator.domain.ids import CustomerId, RegionName, new_job_id, target_domain
from orchestrator.domain.job import Job, JobSpec, held_bytes
from orchestrator.domain.lifecycle import first_state
from orchestrator.domain.submission import check_submission, warnings
from orchestrator.domain.submission_bounds import SubmissionBounds
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import Accepted, Duplicate, JobStore, StoreFailure
from orchestrator.ports.target_guard import TargetGuard
from orchestrator.runtime.cooperative_yield import CooperativeYield
from orchestrator.runtime.faults import internal_fault

RETRY_STORE_AFTER_S = 5
OPEN_AGAIN_AFTER_S = 10
COMMIT_MOST = 128
"""Jobs of a batch that share a commit: they are queued in one go, which others wait for."""
COMMIT_BYTES = 512 * KIB
"""And how large they may be together, as they lie in memory: others wait for the commit, too."""


class Intake:
    """The way in."""

    def __init__(
        self,
        shard: ShardClient,
        store: JobStore,
        clock: Clock,
        *,
        guard: TargetGuard,
        random: Random,
        bounds: SubmissionBounds,
        regions: Sequence[RegionName],
    ) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock
        self._guard = guard
        self._random = random
        self._bounds = bounds
        self._regions = regions

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
        self._check(spec, now_ms)
        if (refusal := first_refusal(spec, await self._guard.refusals(_urls(spec)))) is not None:
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

    def errors_in(self, spec: JobSpec) -> list[FieldError]:
        """List everything that is wrong with a submission, its fallbacks and children included."""
        return self._errors_in(spec, self._clock.unix_ms())

    async def _submit_some(
        self, customer: CustomerId, specs: Sequence[JobSpec | EZThrottleError], traceparent: str | None
    ) -> list[Taken | EZThrottleError]:
        now_ms = self._clock.unix_ms()
        judged = await self._judge(specs, now_ms)
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

    async def _judge(
        self, specs: Sequence[JobSpec | EZThrottleError], now_ms: int
    ) -> list[JobSpec | EZThrottleError]:
        breather = CooperativeYield(self._clock.now)
        judged: list[JobSpec | EZThrottleError] = []
        for spec in specs:
            judged.append(self._checked(spec, now_ms))
            await breather.pause()
        urls = [url for spec in judged if isinstance(spec, JobSpec) for url in _urls(spec)]
        refusals = await self._guard.refusals(urls)
        return [
            spec if isinstance(spec, EZThrottleError) else first_refusal(spec, refusals) or spec
            for spec in judged
        ]

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

    def _checked(self, spec: JobSpec | EZThrottleError, now_ms: int) -> JobSpec | EZThrottleError:
        if isinstance(spec, EZThrottleError):
            return spec
        try:
            self._check(spec, now_ms)
        except InvalidFields as error:
            return error
        except Exception as error:  # noqa: BLE001  # one job's must not cost the others their answers
            return internal_fault(error)
        return spec

    def _check_accepting(self) -> None:
        if not self._shard.accepting:
            raise NotReady("the service is starting or stopping", retry_after_s=1)

    def _check(self, spec: JobSpec, now_ms: int) -> None:
        if errors := self._errors_in(spec, now_ms):
            raise InvalidFields(errors)

    def _errors_in(self, spec: JobSpec, now_ms: int) -> list[FieldError]:
        return check_submission(spec, known_regions=self._regions, bounds=self._bounds, now_ms=now_ms)

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


def first_refusal(spec: JobSpec, refusals: Mapping[str, str]) -> TargetNotAllowed | None:
    """Refuse a job for the first of its URLs that may not be called; None where there is none."""
    if not refusals:
        return None
    return next((TargetNotAllowed(refusals[url]) for url in _urls(spec) if url in refusals), None)


def _urls(spec: JobSpec) -> list[str]:
    parts = [part for _, part in spec.parts()]
    return [url for part in parts for url in (part.url, *(webhook.url for webhook in part.webhooks))]


def _not_stored() -> NotReady:
    return NotReady("the job could not be stored; it was not accepted", RETRY_STORE_AFTER_S)


def commits_of(specs: Sequence[JobSpec | EZThrottleError]) -> Iterator[list[JobSpec | EZThrottleError]]:
    """Cut a batch into what shares a commit."""
    some: list[JobSpec | EZThrottleError] = []
    left = COMMIT_BYTES
    for spec in specs:
        size = held_bytes(spec) if isinstance(spec, JobSpec) else 0
        if some and (size > left or len(some) == COMMIT_MOST):
            yield some
            some, left = [], COMMIT_BYTES
        some.append(spec)
        left -= size
    if some:
        yield some
