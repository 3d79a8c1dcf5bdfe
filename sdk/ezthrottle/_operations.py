"""What a client can do, written once as coroutines; `client` has a blocking and an asyncio class over them.

The docstrings are those of the public methods.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, cast

from ._addresses import (
    CANCELLATION,
    DEAD_WEBHOOKS,
    DOMAINS,
    JOBS,
    JSON_HEADERS,
    PENDING_WEBHOOKS,
    REDELIVERY,
    REGIONS,
    REPLAYS,
    ROTATION,
    SECRETS,
    USAGE,
    job_path,
)
from ._coroutines import outcome_of
from ._lanes import Kind, NoTurn
from ._notices import tell_of
from ._payload import encoded, job_payload
from ._states import Ending
from ._warnings import warn
from .exceptions import (
    EZThrottleError,
    NotFoundError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    TimeoutError,  # noqa: A004 - the published name
)

if TYPE_CHECKING:
    from typing import Literal

    from ._auto_forward import SubmitsJobs
    from ._batch import Job as BatchedJob
    from ._batch import Progress
    from ._http import Response
    from ._service import Service
    from .types import (
        Acknowledgement,
        Cancelled,
        DeliveryState,
        DomainPage,
        EndedJob,
        ExecutionMode,
        Guarantee,
        Hedge,
        Job,
        JobPage,
        JobState,
        ManyJobs,
        PendingPage,
        RegionPolicy,
        RegionsView,
        RetryPolicy,
        Said,
        Usage,
        Webhook,
        WebhookPage,
        WebhookSecret,
        WebhooksSent,
    )

SHORTEST_SECRET = 16
LONG_POLL_S = 30
DEFAULT_WAIT_S = 300.0
# Many jobs are cancelled and replayed at a bounded pace.
MANY_JOBS_S = 600.0

_NOT_FOUND = 404
_ENDED = frozenset(ending.value for ending in Ending)


class Operations:
    """The operations of one client.

    >>> run(Operations(service, client).submit_job("https://api.example.com"))["job_id"]
    'job_1763674210055_853341'
    """

    def __init__(self, service: Service, client: SubmitsJobs) -> None:
        self._service = service
        self._client = client

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
        *,
        priority: int | None = None,
        timeout_ms: int | None = None,
        deadline_ms: int | None = None,
        guarantee: Guarantee | None = None,
        cost: float | None = None,
        account: str | None = None,
        hedge: Hedge | None = None,
        body_encoding: Literal["base64"] | None = None,
    ) -> Acknowledgement:
        """Hand a request to the service, which executes it at the pace its target bears.

        Args:
            url: the target, http or https
            method: the HTTP method
            headers: headers for the target
            body: the request's body, sent as is; bytes go to the service as base64
            metadata: handed back in webhooks
            webhooks: where the result goes, each `{"url", "regions"?, "has_quorum_vote"?}`
            webhook_quorum: voting webhooks that must accept
            regions: where it may run; the first success of several wins
            region_policy: "fallback", or "strict" to stay in the listed regions
            execution_mode: "race", "fanout" or "hedge"
            retry_policy: `{"max_retries", "max_reroutes", "retry_codes", "reroute_codes"}`
            fallback_job: a job with a `trigger`, tried when this one fails
            on_success: a job to start when this one has succeeded
            on_failure: a job to start when this one has failed
            on_failure_timeout_ms: ms after which the job fails
            idempotent_key: jobs with an equal key run once; the service makes one from url, method and body
            retry_at: Unix ms before which it must not run
            priority: 0 to 9, 9 first
            timeout_ms: one attempt's time limit, ms
            deadline_ms: the job's time limit, ms
            guarantee: "at_least_once" or "at_most_once"
            cost: tokens, for targets with a token budget
            account: the fair queue in which it waits
            hedge: `{"quantile", "budget"}`: after what share of the target's answers one is late, and the
                most extra requests, as a share
            body_encoding: "base64" where `body` is that

        Returns the service's answer: `job_id`, `status` ("queued", "racing", "scheduled" or "duplicate"),
        `idempotent_key` and more.

        Repeated on connection errors and 502, 503 and 504, which its idempotency key makes safe. Raises
        InvalidJobError, AuthenticationError, QuotaExceededError, ServiceUnavailableError or
        ServiceUnreachableError; TypeError or ValueError, which name the argument, for what is no JSON.
        Warns (EZThrottleWarning) of what the answer warns of, and of a duplicate that may not be meant.
        """
        fields = {
            "headers": headers,
            "body": body,
            "body_encoding": body_encoding,
            "metadata": metadata,
            "webhooks": webhooks,
            "webhook_quorum": webhook_quorum,
            "regions": regions,
            "region_policy": region_policy,
            "execution_mode": execution_mode,
            "retry_policy": retry_policy,
            "fallback_job": fallback_job,
            "on_success": on_success,
            "on_failure": on_failure,
            "on_failure_timeout_ms": on_failure_timeout_ms,
            "idempotent_key": idempotent_key,
            "retry_at": retry_at,
            "priority": priority,
            "timeout_ms": timeout_ms,
            "deadline_ms": deadline_ms,
            "guarantee": guarantee,
            "cost": cost,
            "account": account,
            "hedge": hedge,
        }
        job = encoded(job_payload(url, method, fields))
        answer = await self._service.call(
            "POST", JOBS, content=job, headers=JSON_HEADERS, expects=("job_id",)
        )
        tell_of(answer)
        return cast("Acknowledgement", answer)

    async def request(
        self,
        url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        *,
        timeout: float = 30.0,
    ) -> Response:
        """Send a request from this machine, past the service, following redirects but for HEAD.

        `timeout` is in seconds. Returns an `httpx.Response` that has `ok`; raises what httpx raises.
        """
        return await self._service.direct(method, url, headers=headers, body=body, timeout=timeout)

    async def queue_request(
        self,
        url: str,
        webhook_url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        metadata: dict[str, Any] | None = None,
        retry_at: int | None = None,
    ) -> Acknowledgement:
        """Submit a job with one webhook. Deprecated: use `submit_job` or `Step`."""
        warn("queue_request() is deprecated: use submit_job()", DeprecationWarning)
        return await self._submitted(
            url=url,
            method=method,
            headers=headers,
            body=body,
            metadata=metadata,
            webhooks=_one_webhook(webhook_url),
            retry_at=retry_at,
        )

    async def queue_and_wait(  # noqa: PLR0917 - the published signature
        self,
        url: str,
        webhook_url: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        timeout: float = 300,
        poll_interval: float = 2,
        metadata: dict[str, Any] | None = None,
        retry_at: int | None = None,
    ) -> EndedJob:
        """Submit a job and wait for its end, as `submit_job` and `wait` do.

        `timeout` is in seconds, from when the service has the job; `poll_interval` is the pause in seconds
        before asking again where an answer comes at once. Returns the job. Raises what those two raise,
        ezthrottle.TimeoutError among them.
        """
        answer = await self._submitted(
            url=url,
            method=method,
            headers=headers,
            body=body,
            metadata=metadata,
            webhooks=_one_webhook(webhook_url),
            retry_at=retry_at,
        )
        return await self.wait(answer["job_id"], timeout, poll_interval=poll_interval)

    async def get_job(self, job_id: str, *, include: Literal["body"] | None = None) -> Job:
        """Return the job as the service keeps it: `state`, `request`, `delivery`, `result`, `timeline`.

        With `include="body"` its `request` has the body. Raises NotFoundError, or what `submit_job` raises.
        """
        params = _given(include=include)
        return cast(
            "Job", await self._service.call("GET", job_path(job_id), params=params, expects=("state",))
        )

    async def wait(
        self, job_id: str, timeout: float = DEFAULT_WAIT_S, *, poll_interval: float = 2.0
    ) -> EndedJob:
        """Wait until the job has ended, and return it.

        `timeout` is in seconds. The service holds each question until the job ends; `poll_interval` is the
        pause in seconds where it answers early. A service that is away for a while does not end the wait.
        Raises ezthrottle.TimeoutError, after which the job goes on, a second late at most where the service
        is silent; ServiceUnreachableError or ServiceUnavailableError where it is away at the end; or
        NotFoundError.
        """
        deadline = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            remaining_s = max(deadline - asked, 0.0)
            held_s = self._held_s(remaining_s)
            job, missed = await self._when_ended(job_id, held_s, remaining_s)
            if job is not None:
                return job
            now = time.monotonic()
            if now >= deadline:
                raise _too_late(job_id, timeout, missed) from missed
            if now - asked < max(held_s / 2, 1.0):
                await self._service.runtime.sleep(min(poll_interval, deadline - now))

    async def submit_many(
        self, jobs: Iterable[BatchedJob], progress: Progress | None = None
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
        from ._batch import Submission  # noqa: PLC0415 - few programs submit many jobs

        return await Submission(self._service, progress).answers(jobs)

    async def list_jobs(
        self,
        state: JobState | Sequence[JobState] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        domain: str | None = None,
        delivery: DeliveryState | Sequence[DeliveryState] | None = None,
        code: str | None = None,
        since: int | None = None,
        until: int | None = None,
        idempotent_key: str | None = None,
    ) -> JobPage:
        """Return a page of jobs, newest first: at most `limit` that fit all filters, from `cursor` on.

        `state` and `delivery` may be several; `domain` is a target, `code` a failure's, `since` and `until`
        are Unix ms of acceptance. The page's `next_cursor` leads to the next one, and is None on the last.
        """
        asked = _given(
            state=_joined(state),
            domain=domain,
            delivery=_joined(delivery),
            code=code,
            since=since,
            until=until,
            idempotent_key=idempotent_key,
            limit=limit,
            cursor=cursor,
        )
        return cast("JobPage", await self._service.call("GET", JOBS, params=asked, expects=("jobs",)))

    async def cancel_jobs(
        self,
        state: JobState | Sequence[JobState] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        domain: str | None = None,
        delivery: DeliveryState | Sequence[DeliveryState] | None = None,
        code: str | None = None,
        since: int | None = None,
        until: int | None = None,
        idempotent_key: str | None = None,
        dry_run: bool = False,
    ) -> ManyJobs:
        """Cancel the jobs that fit the filters of `list_jobs` and have not ended; `dry_run` only counts them.

        Returns how many `jobs`, and a `next_cursor` where there are more than `limit`.
        """
        return await self._many(
            CANCELLATION,
            state=_joined(state),
            limit=limit,
            cursor=cursor,
            domain=domain,
            delivery=_joined(delivery),
            code=code,
            since=since,
            until=until,
            idempotent_key=idempotent_key,
            dry_run=dry_run or None,
        )

    async def replay_jobs(
        self,
        state: JobState | Sequence[JobState] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        *,
        domain: str | None = None,
        delivery: DeliveryState | Sequence[DeliveryState] | None = None,
        code: str | None = None,
        since: int | None = None,
        until: int | None = None,
        idempotent_key: str | None = None,
        dry_run: bool = False,
    ) -> ManyJobs:
        """Submit once more those that fit and have ended, as `cancel_jobs` cancels; in a day none twice."""
        return await self._many(
            REPLAYS,
            state=_joined(state),
            limit=limit,
            cursor=cursor,
            domain=domain,
            delivery=_joined(delivery),
            code=code,
            since=since,
            until=until,
            idempotent_key=idempotent_key,
            dry_run=dry_run or None,
        )

    async def cancel(self, job_id: str) -> Cancelled:
        """Cancel a job that has not ended. Its webhooks hear of it; its children do not begin.

        Raises ConflictError where it has ended, or NotFoundError.
        """
        return cast("Cancelled", await self._service.call("DELETE", job_path(job_id), expects=("job_id",)))

    async def replay(self, job_id: str) -> Acknowledgement:
        """Submit the request of a job that has ended once more, and return the answer for the new job.

        Raises ConflictError where the job has not ended, or its request is kept no more, or NotFoundError.
        """
        # Not repeatable: every replay is a job of its own.
        path = f"{job_path(job_id)}/replay"
        answer = await self._service.call("POST", path, repeatable=False, expects=("job_id",))
        tell_of(answer)
        return cast("Acknowledgement", answer)

    async def redeliver(self, job_id: str) -> WebhooksSent:
        """Send the webhooks of a job that has ended once more.

        Raises ConflictError where it has not ended, or NotFoundError.
        """
        return cast(
            "WebhooksSent",
            await self._service.call("POST", f"{job_path(job_id)}/redeliver", expects=("deliveries",)),
        )

    async def list_dead_webhooks(
        self,
        endpoint: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> WebhookPage:
        """Return a page of the webhooks that failed for good, newest first, as `list_jobs` does.

        `endpoint` is a receiver's host, with its port unless that is 443, or a URL of it;
        `since` and `until` are Unix ms.
        """
        asked = _given(endpoint=endpoint, since=since, until=until, limit=limit, cursor=cursor)
        return cast(
            "WebhookPage",
            await self._service.call("GET", DEAD_WEBHOOKS, params=asked, expects=("deliveries",)),
        )

    async def list_pending_webhooks(
        self, endpoint: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> PendingPage:
        """Return the webhooks still to be delivered, and by `endpoints` how many of them fail, and why.

        `endpoint` is a receiver's host, or an address of it.
        """
        asked = _given(endpoint=endpoint, limit=limit, cursor=cursor)
        answer = await self._service.call("GET", PENDING_WEBHOOKS, params=asked, expects=("deliveries",))
        return cast("PendingPage", answer)

    async def redeliver_webhooks(
        self,
        webhook_id: str | None = None,
        endpoint: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
    ) -> WebhooksSent:
        """Send webhooks that failed for good once more: all, one, or those of an endpoint or a time.

        Returns how many (`deliveries`), and whether there are `more`.
        """
        asked = _given(webhook_id=webhook_id, endpoint=endpoint, since=since, until=until, limit=limit)
        return cast(
            "WebhooksSent", await self._service.call("POST", REDELIVERY, json=asked, expects=("deliveries",))
        )

    async def usage(self) -> Usage:
        """Return this customer's `open_jobs`, their limit, and what was used on each of the last `days`."""
        return cast("Usage", await self._service.call("GET", USAGE, expects=("open_jobs",)))

    async def regions(self) -> RegionsView:
        """Return the `regions`, which of them are up, and how long their attempts take."""
        return cast("RegionsView", await self._service.call("GET", REGIONS, expects=("regions",)))

    async def domains(self, limit: int | None = None, cursor: str | None = None) -> DomainPage:
        """Return a page of the `domains` that this customer has called, by name, from `cursor` on: each one's
        pace, queue, the signals in force, and the ways to it.

        The page's `next_cursor` leads to the next one, and is None on the last.
        """
        return cast(
            "DomainPage",
            await self._service.call(
                "GET", DOMAINS, params=_given(limit=limit, cursor=cursor), expects=("domains",)
            ),
        )

    async def create_webhook_secret(self, primary_secret: str, secondary_secret: str | None = None) -> Said:
        """Set the secret that signs webhooks, and optionally the former one, which then signs as well.

        Returns `{"status", "message"}`. Raises ValueError for a secret of fewer than 16 characters.
        """
        secrets = {"primary_secret": _long_enough("primary_secret", primary_secret)}
        if secondary_secret:
            secrets["secondary_secret"] = _long_enough("secondary_secret", secondary_secret)
        return cast("Said", await self._service.call("POST", SECRETS, json=secrets))

    async def get_webhook_secret(self) -> WebhookSecret:
        """Return the secrets, masked: `customer_id`, `primary_secret`, `secondary_secret`, `has_secondary`.

        Raises NotFoundError where there is none.
        """
        try:
            return cast(
                "WebhookSecret", await self._service.call("GET", SECRETS, expects=("primary_secret",))
            )
        except NotFoundError as error:
            raise NotFoundError(
                "No webhook secrets configured: make one with create_webhook_secret().", status_code=404
            ) from error

    async def delete_webhook_secret(self) -> Said:
        """Delete the secrets; webhooks are unsigned from then on.

        Returns `{"status", "message"}`, or what the service says where there is none: that is no error.
        """
        return cast("Said", await self._service.call("DELETE", SECRETS, accepted=(_NOT_FOUND,)))

    async def rotate_webhook_secret(self, new_secret: str) -> Said:
        """Sign with `new_secret`, and with the former secret too, so that no receiver misses a delivery.

        Once every receiver knows the new one, end the rotation with `create_webhook_secret(new_secret)`.
        Where there was no secret it becomes the first. Raises ValueError for fewer than 16 characters.
        """
        secret = _long_enough("new_secret", new_secret)
        try:
            # Repeatable: the service takes a second rotation to the same secret for the first one.
            return cast("Said", await self._service.call("POST", ROTATION, json={"new_secret": secret}))
        except NotFoundError:
            return await self.create_webhook_secret(secret)

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

    async def _many(self, path: str, **asked: Any) -> ManyJobs:
        answer = await self._service.call(
            "POST", path, json=_given(**asked), extra_s=MANY_JOBS_S, expects=("jobs",)
        )
        return cast("ManyJobs", answer)

    async def _submitted(self, **job: Any) -> Acknowledgement:
        # The client's own method: a program may have made a class of it that does more.
        answer: Acknowledgement = await outcome_of(self._client.submit_job(**job))
        return answer

    async def _when_ended(
        self, job_id: str, held_s: int, remaining_s: float
    ) -> tuple[EndedJob | None, EZThrottleError | None]:
        """Return the job if it has ended by now, or else why the service could not be asked, if so."""
        from ._service import is_lasting  # noqa: PLC0415 - loads httpx, as the client has by now

        params = {"wait": held_s}
        try:
            job = await self._service.call(
                "GET",
                job_path(job_id),
                kind=Kind.WAIT,
                expects=("state",),
                params=params,
                extra_s=held_s,
                at_most_s=remaining_s,
            )
        except NoTurn:
            return None, None
        except (ServiceUnreachableError, ServiceUnavailableError) as error:
            if is_lasting(error):
                raise
            return None, error
        return (cast("EndedJob", job) if job["state"] in _ENDED else None), None

    def _held_s(self, remaining_s: float) -> int:
        # Where many wait, each asks for less, so that all have their turn in about the same time.
        share_s = max(LONG_POLL_S / self._service.runtime.lane(Kind.WAIT).crowd, 1.0)
        return int(min(remaining_s, share_s))


def _too_late(job_id: str, timeout: float, missed: EZThrottleError | None) -> EZThrottleError:
    from ._service import is_silence  # noqa: PLC0415 - loads httpx, as the client has by now

    silent = isinstance(missed, ServiceUnreachableError) and is_silence(missed)
    if missed is not None and not silent:
        return missed
    said = "is not known to have ended" if silent else "has not ended"
    return TimeoutError(
        f"Job {job_id} {said} within {timeout} s. It goes on: ask again with wait() or get_job()."
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _joined(values: str | Sequence[str] | None) -> str | None:
    return values if values is None or isinstance(values, str) else ",".join(values)


def _one_webhook(url: str) -> list[Webhook] | None:
    return [{"url": url, "has_quorum_vote": True}] if url else None


def _long_enough(name: str, secret: str) -> str:
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(f"{name} has {len(secret)} characters; give at least {SHORTEST_SECRET}")
    return secret
