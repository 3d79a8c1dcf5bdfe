"""Jobs that the service has: looking at them, cancelling, replaying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ezthrottle._calls.call import Call
from ezthrottle._calls.filters import filters_of, given
from ezthrottle._calls.notices import tell_of
from ezthrottle._calls.paths import CANCELLATION, JOBS, REPLAYS, job_path
from ezthrottle._operations.waiting import Waiting

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Unpack

    from ezthrottle.types import (
        Acknowledgement,
        Cancelled,
        Job,
        JobFilters,
        JobPage,
        JobState,
        ManyJobs,
        WebhooksSent,
    )

# Many jobs are cancelled and replayed at a bounded pace.
MANY_JOBS_S = 600.0


class Jobs(Waiting):
    """What is done with jobs by their ids, or with all that fit.

    >>> run(Jobs(service, client).get_job("job_1763674210055_853341"))["state"]
    'running'
    """

    async def get_job(self, job_id: str, *, include: Literal["body"] | None = None) -> Job:
        """Return the job as the service keeps it: `state`, `request`, `delivery`, `result`, `timeline`.

        With `include="body"` its `request` has the body. Raises NotFoundError, or what `submit_job` raises.
        """
        params = given(include=include)
        return await self._service.call(Call("GET", job_path(job_id), params=params, expects=("state",)))

    async def list_jobs(
        self,
        state: JobState | Sequence[JobState] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        **filters: Unpack[JobFilters],
    ) -> JobPage:
        """Return a page of jobs, newest first: at most `limit` (1 to 200) that fit all filters, from `cursor`
        on.

        `state` and `delivery` may be several. The further filters are `domain` (a target), `delivery`, `code`
        (of a failure), `since` and `until` (Unix ms of acceptance) and `idempotent_key`. The page's
        `next_cursor` leads to the next one, and is None on the last. Raises InvalidJobError for a filter that
        the service does not take.
        """
        asked = filters_of("list_jobs", filters, state, limit, cursor)
        return await self._service.call(Call("GET", JOBS, params=asked, expects=("jobs",)))

    async def cancel_jobs(
        self,
        state: JobState | Sequence[JobState] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        dry_run: bool = False,
        **filters: Unpack[JobFilters],
    ) -> ManyJobs:
        """Cancel the jobs that fit the filters of `list_jobs` and have not ended; `dry_run` only counts them.

        Blocks until all are cancelled, up to ten minutes. Returns how many `jobs`, and a `next_cursor` where
        there are more than `limit`.
        """
        asked = {**filters_of("cancel_jobs", filters, state, limit, cursor), **given(dry_run=dry_run or None)}
        return await self._service.call(_many(CANCELLATION, asked))

    async def replay_jobs(
        self,
        state: JobState | Sequence[JobState] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        dry_run: bool = False,
        **filters: Unpack[JobFilters],
    ) -> ManyJobs:
        """Submit once more those that fit and have ended, as `cancel_jobs` cancels; in a day none twice."""
        asked = {**filters_of("replay_jobs", filters, state, limit, cursor), **given(dry_run=dry_run or None)}
        return await self._service.call(_many(REPLAYS, asked))

    async def cancel(self, job_id: str) -> Cancelled:
        """Cancel a job that has not ended. Its webhooks are sent; its children do not begin.

        Raises ConflictError where it has ended, or NotFoundError.
        """
        return await self._service.call(Call("DELETE", job_path(job_id), expects=("job_id",)))

    async def replay(self, job_id: str) -> Acknowledgement:
        """Submit the request of a job that has ended once more, and return the answer for the new job.

        Raises ConflictError where the job has not ended, or its request is kept no more, or NotFoundError.
        """
        # Not repeatable: every replay is a job of its own.
        call: Call[Acknowledgement] = Call(
            "POST", f"{job_path(job_id)}/replay", repeatable=False, expects=("job_id",)
        )
        answer = await self._service.call(call)
        tell_of(answer)
        return answer

    async def redeliver(self, job_id: str) -> WebhooksSent:
        """Send the webhooks of a job that has ended once more.

        Raises ConflictError where it has not ended, or NotFoundError.
        """
        path = f"{job_path(job_id)}/redeliver"
        return await self._service.call(Call("POST", path, expects=("deliveries",)))


def _many(path: str, asked: dict[str, object]) -> Call[ManyJobs]:
    return Call("POST", path, json=asked, extra_s=MANY_JOBS_S, expects=("jobs",))
