"""What is done with many of a customer's jobs at once, at a bounded pace: others' jobs go on meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from math import inf

from msgspec.structs import replace

from orchestrator.core.gateway.shard_client import ShardClient
from orchestrator.core.submissions.intake import Intake
from orchestrator.core.views import Acknowledgement, Done
from orchestrator.domain.errors import NotReady, OverLimit
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.jobs.job import JobSpec
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import HistoryStore, JobCursor, JobFilter, JobSummary

AT_ONCE = 25
PAGE = 200
BUSY_AGAIN_AFTER_S = 5
ENDED = frozenset(state for state in JobState if state.ended)
OPEN = frozenset(JobState) - ENDED
_Step = Callable[[CustomerId, Sequence[JobSummary]], Awaitable[tuple[int, OverLimit | NotReady | None]]]


class ManyJobs:
    """Cancels and replays by filter. Each call goes through jobs from the newest to the oldest.

    Args:
        shard: The owner of the jobs.
        store: Where they lie.
        clock: Time.
        intake: Takes replayed jobs, as any submission.
        per_s: Most jobs of one customer that are begun with in a second.

    """

    def __init__(
        self, shard: ShardClient, store: HistoryStore, clock: Clock, intake: Intake, *, per_s: float
    ) -> None:
        self._shard = shard
        self._store = store
        self._clock = clock
        self._intake = intake
        self._interval_s = AT_ONCE / per_s
        self._busy: set[CustomerId] = set()

    async def count_open(self, wanted: JobFilter, most: float = inf) -> int:
        """Count the jobs that ``cancel`` would cancel, no further than ``most``."""
        return await self._count(wanted, OPEN, most)

    async def count_ended(self, wanted: JobFilter, most: float = inf) -> int:
        """Count the jobs that ``replay`` would replay, no further than ``most``."""
        return await self._count(wanted, ENDED, most)

    async def _count(self, wanted: JobFilter, states: frozenset[JobState], most: float) -> int:
        narrowed, count = _within(wanted, states), 0
        if narrowed is None:
            return 0
        async for page, _ in self._pages(narrowed, None):
            count += len(page)
            if count >= most:
                return int(most)
        return count

    async def cancel(self, wanted: JobFilter, most: int, before: JobCursor | None) -> Done:
        """Cancel those of at most ``most`` jobs that have not ended.

        Raises:
            OverLimit: Another such call of the customer's is under way.
            NotReady: The disk takes nothing: no end of those could be stored.
        """
        return await self._each(_within(wanted, OPEN), most, before, self._cancel)

    async def replay(self, wanted: JobFilter, most: int, before: JobCursor | None) -> Done:
        """Make a new job of each of at most ``most`` that have ended. Asked again, it makes none of the same
        job twice while the new one's key is kept. It stops where no more jobs may be open.

        Raises:
            OverLimit: Another such call of the customer's is under way, or none may be open any more.
        """
        return await self._each(_within(wanted, ENDED), most, before, self._replay)

    async def _each(self, wanted: JobFilter | None, most: int, before: JobCursor | None, step: _Step) -> Done:
        if wanted is None:
            return Done(0, 0, None)
        if wanted.owner in self._busy:
            message = "many jobs are being cancelled or replayed already: one such call at a time"
            raise OverLimit(message, BUSY_AGAIN_AFTER_S)
        self._busy.add(wanted.owner)
        try:
            return await self._paced(wanted, most, before, step)
        finally:
            self._busy.discard(wanted.owner)

    async def _paced(self, wanted: JobFilter, most: int, before: JobCursor | None, step: _Step) -> Done:
        fitting = done = 0
        async for page, more in self._pages(wanted, before):
            for start in range(0, len(page), AT_ONCE):
                jobs = page[start : start + min(AT_ONCE, most - fitting)]
                not_before = self._clock.now() + self._interval_s
                count, refusal = await step(wanted.owner, jobs)
                done += count
                if refusal is not None:
                    if not done:
                        raise refusal
                    return Done(fitting, done, before)
                fitting += len(jobs)
                before = JobCursor(jobs[-1].accepted_ms, jobs[-1].id)
                last = start + len(jobs) == len(page) and not more
                if last or fitting == most:
                    return Done(fitting, done, None if last else before)
                await asyncio.sleep(max(0.0, not_before - self._clock.now()))
        return Done(fitting, done, None)

    async def _pages(
        self, wanted: JobFilter, before: JobCursor | None
    ) -> AsyncIterator[tuple[Sequence[JobSummary], bool]]:
        """Give pages, and whether another follows."""
        more = True
        while more:
            now_ms = self._clock.unix_ms()
            page = await self._store.jobs_of(wanted, now_ms=now_ms, most=PAGE, before=before)
            before, more = page.next, page.next is not None
            yield page.jobs, more

    async def _cancel(self, _customer: CustomerId, jobs: Sequence[JobSummary]) -> tuple[int, NotReady | None]:
        answers = await asyncio.gather(*(self._cancel_one(job.id) for job in jobs))
        refusal = next((answer for answer in answers if isinstance(answer, NotReady)), None)
        return sum(answer is True for answer in answers), refusal

    async def _cancel_one(self, job_id: JobId) -> bool | NotReady:
        try:
            return await self._shard.cancel(job_id)
        except NotReady as error:
            return error

    async def _replay(self, customer: CustomerId, jobs: Sequence[JobSummary]) -> tuple[int, OverLimit | None]:
        specs = [spec for job in jobs if (spec := await self._spec(customer, job.id)) is not None]
        taken = await self._intake.submit_many(customer, specs)
        refusal = next((answer for answer in taken if isinstance(answer, OverLimit)), None)
        return sum(isinstance(answer, Acknowledgement) for answer in taken), refusal

    async def _spec(self, customer: CustomerId, job_id: JobId) -> JobSpec | None:
        stored = await self._store.look(job_id, customer)
        if stored is None:
            return None
        return replace(stored.job.spec, idempotent_key=f"{job_id}/again", retry_at=None)


def _within(wanted: JobFilter, states: frozenset[JobState]) -> JobFilter | None:
    """Narrow a filter to states that something can be done in; None where it names none of them."""
    narrowed = wanted.states & states if wanted.states else states
    return replace(wanted, states=narrowed) if narrowed else None
