"""The decorator that hands a function's failed request to the service."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Protocol, TypeVar, overload

from ezthrottle._coroutines import in_thread
from ezthrottle._operations.forwarding import Forwarding
from ezthrottle.exceptions import FORWARDED_CODES

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from ezthrottle._operations.operation import SubmitsJobs
    from ezthrottle.types import Acknowledgement, RetryPolicy, Webhook

    P = ParamSpec("P")

T = TypeVar("T")


class Forwards(Protocol):
    """Decorates a function; it keeps its arguments, and may return the service's answer instead."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Callable[P, Coroutine[Any, Any, T | Acknowledgement]]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, T | Acknowledgement]: ...


def auto_forward(
    client: SubmitsJobs,
    fallback_on_error: Iterable[int] | None = None,
    *,
    webhooks: list[Webhook] | tuple[Webhook, ...] | None = None,
    regions: list[str] | tuple[str, ...] | None = None,
    retry_policy: RetryPolicy | None = None,
    metadata: Mapping[str, Any] | None = None,
    forward_timeouts: bool = False,
) -> Forwards:
    """Decorate a function so that a request that fails in it is submitted to the service instead, whose
    answer the function then returns; a coroutine function with either client, others with `EZThrottle` only.

    Forwarded are a ForwardToEZThrottle; answers of `requests`, `httpx` and openai's library whose status is
    in `fallback_on_error` (429, 500, 502, 503 and 504 unless given); and connection errors and timeouts of
    these and of `urllib3`. All else is raised as before, as is a request whose body is a stream. A POST or
    PATCH that timed out may have been carried out: it is forwarded only with `forward_timeouts`. `webhooks`,
    `regions`, `retry_policy` and `metadata` are those of jobs that name none themselves.

    >>> @auto_forward(client, fallback_on_error=[429, 500])
    ... def charge() -> dict:
    ...     response = requests.post("https://api.example.com/charge", json={"amount": 1000})
    ...     response.raise_for_status()
    ...     return response.json()
    """
    codes = frozenset(FORWARDED_CODES if fallback_on_error is None else fallback_on_error)
    given = {"webhooks": webhooks, "regions": regions, "retry_policy": retry_policy, "metadata": metadata}
    return _decorator(client, Forwarding(codes, forward_timeouts, given))


def _decorator(client: SubmitsJobs, forwarding: Forwarding) -> Forwards:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):
            return _awaiting(function, client, forwarding)
        if inspect.iscoroutinefunction(client.submit_job):
            raise TypeError("AsyncEZThrottle forwards for coroutine functions; give EZThrottle for this one")
        return _calling(function, client, forwarding)

    return decorate


def _calling(function: Callable[P, Any], client: SubmitsJobs, forwarding: Forwarding) -> Callable[P, Any]:
    @functools.wraps(function)
    def forwards(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            job = forwarding.job_behind(error)
            if job is None:
                raise
            return client.submit_job(**job)

    return forwards


def _awaiting(function: Callable[P, Any], client: SubmitsJobs, forwarding: Forwarding) -> Callable[P, Any]:
    @functools.wraps(function)
    async def forwards(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            job = forwarding.job_behind(error)
            if job is None:
                raise
            if inspect.iscoroutinefunction(client.submit_job):
                return await client.submit_job(**job)
            return await in_thread(client.submit_job, **job)

    return forwards
