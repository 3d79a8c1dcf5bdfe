"""One call to the service: authorised, bounded in time, repeated where that is safe."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Callable

import httpx

from ._answers import object_in, retry_after_s
from ._flow import Flow, Runtime
from ._http import AnyClient, Response, encoded_headers, following_redirects, time_limits
from ._retry import RetryPolicy
from ._settings import Settings
from .exceptions import ServiceUnreachableError

# A gateway's or a starting service's way of saying that the call did not arrive or was not taken.
REPEATED_CODES = frozenset({502, 503, 504})

# An answer that was sent at the last moment is yet to arrive.
GRACE_S = 1.0

_ONCE = RetryPolicy(max_attempts=1)


class Service:
    """The HTTP side of a client, blocking or asyncio according to `http` and `runtime`.

    >>> run(Service(pooled_client(), Blocking(), settings).call("GET", "/api/v1/jobs/job_1_2"))
    """

    def __init__(self, http: AnyClient, runtime: Runtime, settings: Settings) -> None:
        self.runtime = runtime
        self.retry = RetryPolicy(settings.max_attempts, settings.timeout)
        self._http = http
        self.settings = settings

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra_s: float = 0.0,
        at_most_s: float | None = None,
        **parts: Any,
    ) -> httpx.Request:
        """Return the request for a call; `parts` are arguments of httpx, such as `json` or `params`.

        `extra_s` seconds are added to the time limit, for answers that are meant to take long.
        """
        limit_s = self.settings.timeout + extra_s
        return self._http.build_request(
            method,
            self.settings.base_url + path,
            headers={"Authorization": self.settings.bearer(), **(headers or {})},
            timeout=time_limits(limit_s if at_most_s is None else min(limit_s, at_most_s)),
            **parts,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        at_most_s: float | None = None,
        accepted: Collection[int] = (),
        **parts: Any,
    ) -> Flow[dict[str, Any]]:
        """Make the call and return the JSON object of its answer; `parts` are arguments of `request`.

        It is over after `at_most_s` seconds, repetitions and all, give or take a second for an answer on
        its way. Raises an EZThrottleError for every answer but 2xx and the `accepted` statuses, and for none.
        """
        retry = self.retry if repeatable else _ONCE
        if at_most_s is not None:
            retry = retry.within(at_most_s)
        response = yield from self._answered(partial(self.request, method, path, **parts), retry, at_most_s)
        return object_in(response, accepted)

    def direct(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        body: str | bytes | None,
        timeout: float,
    ) -> Flow[Response]:
        """Send a request to any server, past the service, following redirects but for HEAD.

        Raises what httpx raises.
        """
        request = self._http.build_request(
            method.upper(),
            url,
            headers=encoded_headers(headers or {}),
            content=body,
            timeout=httpx.Timeout(timeout),
        )
        # requests.head() asks for the head of this address, not of where it points.
        if request.method == "HEAD":
            return Response.of((yield partial(self._http.send, request, follow_redirects=False)))
        return (yield from following_redirects(self._http, request))

    def send(self, request: httpx.Request, *, stream: bool = False) -> Any:
        """Send a request to the service once; the result is a response, or is to be awaited for one."""
        # auth=None: credentials of the caller's own httpx client must not replace the API key.
        return self._http.send(request, stream=stream, auth=None, follow_redirects=False)

    def _answered(
        self, ask: Callable[..., httpx.Request], retry: RetryPolicy, at_most_s: float | None
    ) -> Flow[httpx.Response]:
        start, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            request = ask(at_most_s=_limit_of_one_attempt(at_most_s, time.monotonic() - start))
            try:
                response: httpx.Response = yield partial(self.send, request)
            except httpx.RequestError as error:
                pause = retry.pause(attempt, time.monotonic() - start)
                if pause is None:
                    raise self.unreachable(error, attempt) from error
            else:
                pause = self._pause_after(response, retry, attempt, time.monotonic() - start)
                if pause is None:
                    return response
            yield partial(self.runtime.sleep, pause)

    @staticmethod
    def _pause_after(
        response: httpx.Response, retry: RetryPolicy, attempt: int, elapsed_s: float
    ) -> float | None:
        if response.status_code not in REPEATED_CODES:
            return None
        return retry.pause(attempt, elapsed_s, at_least_s=retry_after_s(response) or 0.0)

    def unreachable(self, error: httpx.RequestError, attempts: int) -> ServiceUnreachableError:
        """Return the error for calls that brought no answer."""
        return ServiceUnreachableError(
            f"No answer from {self.settings.base_url} in {attempts} attempt(s): "
            f"{str(error) or type(error).__name__}. "
            "Check that the service runs, and base_url (or EZTHROTTLE_URL)."
        )


def is_silence(error: ServiceUnreachableError) -> bool:
    """Whether there may be a service, which only did not answer in time."""
    return isinstance(error.__cause__, httpx.TimeoutException)


def _limit_of_one_attempt(at_most_s: float | None, elapsed_s: float) -> float | None:
    return None if at_most_s is None else max(at_most_s - elapsed_s, 0.0) + GRACE_S
