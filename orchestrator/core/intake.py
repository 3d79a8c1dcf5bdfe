"""Submissions: checked whole, deduplicated, committed, and only then acknowledged."""

from dataclasses import dataclass
from random import Random

from orchestrator.core.shard import Shard
from orchestrator.domain.errors import InvalidFields, NotReady, TargetNotAllowed
from orchestrator.domain.idempotency import content_key
from orchestrator.domain.ids import CustomerId, JobId, new_job_id, target_domain
from orchestrator.domain.job import Job, JobSpec
from orchestrator.domain.lifecycle import JobState, first_state
from orchestrator.domain.limits import Bounds
from orchestrator.domain.submission import check_submission, warnings
from orchestrator.ports.store import Duplicate, StoreFailure
from orchestrator.ports.target_guard import TargetGuard

RETRY_STORE_AFTER_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """The job is on disk. ``wait_s`` estimates the time until its start."""

    job_id: JobId
    state: JobState
    racing: bool
    idempotent_key: str
    queued_at_ms: int
    position: int
    wait_s: float
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAlready:
    """The key is taken by an earlier job."""

    duplicate: Duplicate
    idempotent_key: str
    warnings: list[str]


class Intake:
    """The way in."""

    def __init__(self, shard: Shard, guard: TargetGuard, random: Random, bounds: Bounds) -> None:
        self._shard = shard
        self._guard = guard
        self._random = random
        self._bounds = bounds

    async def submit(self, customer: CustomerId, spec: JobSpec) -> Acknowledgement | KnownAlready:
        """Take one job.

        Raises:
            InvalidFields: Fields are wrong; all are named.
            TargetNotAllowed: The target or a webhook may not be called.
            NotReady: The service is stopping, or its disk takes nothing.
        """
        if not self._shard.accepting:
            raise NotReady("the service is starting or stopping", retry_after_s=1)
        now_ms = self._shard.clock.unix_ms()
        errors = check_submission(
            spec, known_regions=self._shard.options.regions, bounds=self._bounds, now_ms=now_ms
        )
        if errors:
            raise InvalidFields(errors)
        await self._guard_targets(spec)
        job = self._job(customer, spec, now_ms)
        try:
            stored = await self._shard.store.submit(job)
        except StoreFailure as error:
            raise NotReady("the job could not be stored; it was not accepted", RETRY_STORE_AFTER_S) from error
        if isinstance(stored, Duplicate):
            self._shard.tally.duplicates += 1
            return KnownAlready(duplicate=stored, idempotent_key=job.idempotent_key, warnings=warnings(spec))
        return self._acknowledge(job)

    def _job(self, customer: CustomerId, spec: JobSpec, now_ms: int) -> Job:
        return Job(
            id=new_job_id(now_ms, self._random),
            customer=customer,
            domain=target_domain(spec.url),
            idempotent_key=spec.idempotent_key or content_key(customer, spec.url, spec.method, spec.body),
            accepted_ms=now_ms,
            spec=spec,
        )

    def _acknowledge(self, job: Job) -> Acknowledgement:
        position = self._shard.admit(job)
        wait_s = self._shard.domain(job.domain).seconds_until(position)
        scheduled_s = ((job.spec.retry_at or 0) - job.accepted_ms) / 1000
        return Acknowledgement(
            job_id=job.id,
            state=first_state(job.accepted_ms, job.spec.retry_at),
            racing=job.spec.racing,
            idempotent_key=job.idempotent_key,
            queued_at_ms=job.accepted_ms,
            position=position,
            wait_s=max(wait_s, scheduled_s),
            warnings=warnings(job.spec),
        )

    async def _guard_targets(self, spec: JobSpec) -> None:
        parts = [part for _, part in spec.parts()]
        urls = [url for part in parts for url in (part.url, *(webhook.url for webhook in part.webhooks))]
        for url in dict.fromkeys(urls):
            refusal = await self._guard.refusal(url)
            if refusal is not None:
                raise TargetNotAllowed(refusal)
