"""The decorator that hands a function's failed request to the service."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Protocol

from ._coroutines import in_thread
from ._forwarding import job_behind
from .exceptions import FORWARDED_CODES

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")


class SubmitsJobs(Protocol):
    """Either client."""

    @property
    def submit_job(self) -> Callable[..., Any]: ...


def auto_forward(
    client: SubmitsJobs, fallback_on_error: Iterable[int] | None = None
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Decorate a function so that a request which fails in it is submitted to the service instead.

    Forwarded are: ForwardToEZThrottle; `requests.HTTPError` and `httpx.HTTPStatusError` whose status is in
    `fallback_on_error` (429, 500, 502, 503 and 504 unless given); and the connection errors and timeouts of
    both libraries. The request is read from the exception. The function then returns the service's answer.
    Everything else is raised as before, and so is a failed request whose body is not text.

    A function that is a coroutine may be decorated with either client, others with `EZThrottle` only.

    >>> @auto_forward(client, fallback_on_error=[429, 500])
    ... def charge() -> dict:
    ...     response = requests.post("https://api.example.com/charge", json={"amount": 1000})
    ...     response.raise_for_status()
    ...     return response.json()
    """
    codes = frozenset(FORWARDED_CODES if fallback_on_error is None else fallback_on_error)

    def decorate(function: Callable[P, Any]) -> Callable[P, Any]:
        if inspect.iscoroutinefunction(function):
            return _awaiting(function, client, codes)
        if inspect.iscoroutinefunction(client.submit_job):
            raise TypeError("AsyncEZThrottle forwards for coroutine functions; give EZThrottle for this one")
        return _calling(function, client, codes)

    return decorate


def _calling(function: Callable[P, Any], client: SubmitsJobs, codes: frozenset[int]) -> Callable[P, Any]:
    @functools.wraps(function)
    def forwarding(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            job = job_behind(error, codes)
            if job is None:
                raise
            return client.submit_job(**job)

    return forwarding


def _awaiting(function: Callable[P, Any], client: SubmitsJobs, codes: frozenset[int]) -> Callable[P, Any]:
    @functools.wraps(function)
    async def forwarding(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            job = job_behind(error, codes)
            if job is None:
                raise
            if inspect.iscoroutinefunction(client.submit_job):
                return await client.submit_job(**job)
            return await in_thread(client.submit_job, **job)

    return forwarding
