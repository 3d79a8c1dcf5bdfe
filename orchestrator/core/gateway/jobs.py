"""Jobs, as their customers ask for them: submitted, looked at, watched, cancelled, replayed."""

import re
import secrets
from collections.abc import Awaitable, Sequence
from math import inf

from msgspec.structs import replace

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.gateway.watching import JobFollower, wait_for_end
from orchestrator.core.submissions.intake import Intake
from orchestrator.core.submissions.many_jobs import ManyJobs
from orchestrator.core.views import JobRemains, JobView, Taken
from orchestrator.domain.errors import Conflict, EZThrottleError, FieldError, NotFound
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.trace_context import read_traceparent
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import (
    DamagedError,
    HistoryStore,
    JobCount,
    JobCursor,
    JobFilter,
    JobPage,
    JobSummary,
    StoredJob,
)

JOB_ID = re.compile(r"job_[0-9]{1,20}_[0-9]{1,20}\Z")
_PAST_KEEPING = "the job's request and answer are past their keeping; only its state is known"


class Jobs:
    """Every call names whose jobs are meant: another customer's is not found.

    Args:
        shard: The owner of the jobs.
        store: Where they lie.
        clock: Time.
        intake: The way in.
        many: Acts on many at once.
    """

    def __init__(
        self, shard: ShardClient, store: HistoryStore, clock: Clock, *, intake: Intake, many: ManyJobs
    ) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock
        self._intake = intake
        self.many = many

    def submit(self, customer: CustomerId, spec: JobSpec, traceparent: str | None = None) -> Awaitable[Taken]:
        """Take one job; see ``Intake.submit``. ``traceparent`` is a header as it came."""
        return self._intake.submit(customer, spec, read_traceparent(traceparent))

    def submit_many(
        self,
        customer: CustomerId,
        specs: Sequence[JobSpec | EZThrottleError],
        traceparent: str | None = None,
    ) -> Awaitable[list[Taken | EZThrottleError]]:
        """Take many jobs; see ``Intake.submit_many``. ``traceparent`` is a header as it came."""
        return self._intake.submit_many(customer, specs, read_traceparent(traceparent))

    def errors_in(self, spec: JobSpec) -> list[FieldError]:
        """List everything that is wrong with a submission, its fallbacks and children included."""
        return self._intake.checks.errors_in(spec, self._clock.unix_ms())

    async def show(self, customer: CustomerId, job_id: str) -> JobView | JobRemains:
        """Show a job without its result where that is large.

        Raises:
            NotFound: There is none of that id, or it is somebody else's.
        """
        try:
            stored = await self._look(customer, job_id)
        except DamagedError as error:
            summary = await self._summary(customer, job_id)
            return JobRemains(summary=summary, damaged=True, result=error.result)
        if stored is None:
            return JobRemains(summary=await self._summary(customer, job_id))
        if (newer := self._shard.under_way(stored.job.id)) is not None:
            stored = replace(stored, state=newer[0], course=newer[1])
        return JobView(stored=stored, place=self._shard.place(stored.job), now_ms=self._clock.unix_ms())

    async def result(self, customer: CustomerId, job_id: JobId) -> bytes | None:
        """Read the result of a job of the customer's own; None where it is past its keeping."""
        return await self._store.result(job_id, customer)

    async def listed(
        self, wanted: JobFilter, *, most: int, before: JobCursor | None = None, within_s: float = inf
    ) -> JobPage:
        """List jobs, newest first; see ``HistoryStore.jobs_of``."""
        now_ms = self._clock.unix_ms()
        return await self._store.jobs_of(wanted, now_ms=now_ms, most=most, before=before, within_s=within_s)

    async def count(self, wanted: JobFilter, most: int, *, within_s: float) -> JobCount:
        """Count jobs, no further than ``most``, and for no longer than ``within_s``."""
        now_ms = self._clock.unix_ms()
        return await self._store.count_jobs(wanted, now_ms=now_ms, most=most, within_s=within_s)

    async def wait_for_end(self, customer: CustomerId, job_id: str, wait_s: float) -> None:
        """Return when a job has ended, or after ``wait_s``. Nothing of it is held meanwhile: thousands wait.

        Raises:
            NotFound: There is none of that id, or it is somebody else's.
        """
        if not (await self._summary(customer, job_id)).state.ended:

            async def has_ended() -> bool:
                return (await self._summary(customer, job_id)).state.ended

            await wait_for_end(self._shard, self._clock, JobId(job_id), has_ended, wait_s)

    async def follow(self, customer: CustomerId, job_id: str) -> JobFollower:
        """Follow a job to its end.

        Raises:
            NotFound: There is none of that id, or it is somebody else's.
            Conflict: Its payload is not kept any more, or can't be read.
        """
        stored = await self._whole(customer, job_id)
        return JobFollower(self._shard, self._store, self._clock, stored)

    async def cancel(self, customer: CustomerId, job_id: str) -> JobId:
        """Cancel a job, and wait until that is on disk.

        Raises:
            NotFound: There is none of that id, or it is somebody else's.
            Conflict: It has ended.
            NotReady: It is cancelled, but the disk has not taken that yet.
        """
        stored = await self._whole(customer, job_id)
        if not await self._shard.cancel(stored.job.id):
            raise Conflict(f"the job has ended already ({stored.state})")
        return stored.job.id

    async def replay(self, customer: CustomerId, job_id: str) -> Taken:
        """Make a new job of a finished one: the same request, under a key of its own.

        Raises:
            NotFound: There is none of that id, or it is somebody else's.
            Conflict: It has not ended, or its payload is not kept any more.
            EZThrottleError: As ``submit`` does.
        """
        stored = await self._whole(customer, job_id)
        if not stored.state.ended:
            raise Conflict(f"the job has not ended ({stored.state}): wait for its end, or cancel it")
        # Made here, so that whoever has to ask a shard twice makes one job.
        key = f"{stored.job.id}/replay/{secrets.token_hex(8)}"
        return await self.submit(customer, replace(stored.job.spec, idempotent_key=key, retry_at=None))

    async def redeliver(self, customer: CustomerId, job_id: str) -> int:
        """Send all webhooks of a finished job again, accepted ones too; say how many.

        Raises:
            NotFound: There is none of that id, or it is somebody else's.
            Conflict: It has not ended, or has no webhooks.
        """
        stored = await self._whole(customer, job_id)
        if not stored.state.ended:
            raise Conflict(f"the job has not ended ({stored.state}): its webhooks are still to come")
        if not stored.deliveries:
            raise Conflict("the job has no webhooks")
        return await self._shard.redeliver(stored.job.id)

    async def _whole(self, customer: CustomerId, job_id: str) -> StoredJob:
        try:
            stored = await self._look(customer, job_id)
        except DamagedError as error:
            await self._summary(customer, job_id)
            raise Conflict(f"what was stored of the job can't be read any more ({error})") from None
        if stored is None:
            await self._summary(customer, job_id)
            raise Conflict(_PAST_KEEPING)
        return stored

    async def _look(self, customer: CustomerId, job_id: str) -> StoredJob | None:
        stored = await self._store.look(JobId(job_id), customer) if JOB_ID.match(job_id) else None
        return stored if stored is not None and stored.job.customer == customer else None

    async def _summary(self, customer: CustomerId, job_id: str) -> JobSummary:
        now_ms = self._clock.unix_ms()
        found = await self._store.summary(JobId(job_id), now_ms, customer) if JOB_ID.match(job_id) else None
        if found is None or found.customer != customer:
            raise NotFound("there is no such job, or it is not yours")
        return found
