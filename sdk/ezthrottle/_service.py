"""One call to the service: authorised, bounded in time, repeated where that is safe."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Callable

import httpx

from ._answers import object_in, retry_after_s
from ._http import Response, encoded_headers, following_redirects, time_limits
from ._lanes import Kind, Lane, NoTurn
from ._retry import RetryPolicy
from ._runtime import Runtime
from ._settings import Settings
from .exceptions import ServiceUnreachableError

# A gateway's or a starting service's way of saying that the call did not arrive or was not taken.
REPEATED_CODES = frozenset({502, 503, 504})

# An answer that was sent at the last moment is yet to arrive.
GRACE_S = 1.0

_ONCE = RetryPolicy(max_attempts=1)


class Service:
    """The HTTP side of a client, blocking or asyncio according to `runtime`.

    >>> run(Service(Blocking(None), settings).call("GET", "/api/v1/jobs/job_1_2"))
    """

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self.runtime = runtime
        self.retry = RetryPolicy(settings.max_attempts, settings.timeout)
        self.settings = settings
        self._heard_at = 0.0

    def request(
        self,
        method: str,
        path: str,
        *,
        kind: Kind = Kind.CALL,
        headers: Mapping[str, str] | None = None,
        extra_s: float = 0.0,
        at_most_s: float | None = None,
        **parts: Any,
    ) -> httpx.Request:
        """Return the request for a call; `parts` are arguments of httpx, such as `json` or `params`.

        `extra_s` seconds are added to the time limit, for answers that are meant to take long.
        """
        limit_s = self.settings.timeout + extra_s
        url = httpx.URL(self.settings.base_url + path)
        return self.runtime.http(url, kind).build_request(
            method,
            url,
            headers={"Authorization": self.settings.bearer(), **(headers or {})},
            timeout=time_limits(limit_s if at_most_s is None else min(limit_s, at_most_s)),
            **parts,
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        kind: Kind = Kind.CALL,
        repeatable: bool = True,
        at_most_s: float | None = None,
        accepted: Collection[int] = (),
        **parts: Any,
    ) -> dict[str, Any]:
        """Make the call and return the JSON object of its answer; `parts` are arguments of `request`.

        It is over after `at_most_s` seconds, repetitions and all, give or take a second for an answer on
        its way. Raises an EZThrottleError for every answer but 2xx and the `accepted` statuses, and for none;
        NoTurn where it was not even asked in that time.
        """
        retry = self.retry if repeatable else _ONCE
        if at_most_s is not None:
            retry = retry.within(at_most_s)
        ask = partial(self.request, method, path, kind=kind, **parts)
        response = await self._answered(ask, kind, retry, at_most_s)
        return object_in(response, accepted)

    async def direct(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        body: str | bytes | None,
        timeout: float,
    ) -> Response:
        """Send a request to any server, past the service, following redirects but for HEAD.

        Raises what httpx raises.
        """
        target = httpx.URL(url)
        request = self.runtime.http(target, Kind.ELSEWHERE).build_request(
            method.upper(),
            target,
            headers=encoded_headers(headers or {}),
            content=body,
            timeout=httpx.Timeout(timeout, pool=None),
        )
        lane = self.runtime.lane(Kind.ELSEWHERE)
        await lane.take(None)
        try:
            # requests.head() asks for the head of this address, not of where it points.
            if request.method == "HEAD":
                return Response.of(await self.runtime.send(request, Kind.ELSEWHERE))
            return await following_redirects(self.runtime, request)
        finally:
            lane.give_back()

    async def _answered(
        self,
        ask: Callable[..., httpx.Request],
        kind: Kind,
        retry: RetryPolicy,
        at_most_s: float | None,
    ) -> httpx.Response:
        start, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                response = await self._asked_once(ask, kind, at_most_s, start)
            except httpx.RequestError as error:
                pause = retry.pause(attempt, time.monotonic() - start)
                if pause is None:
                    raise self.unreachable(error, attempt) from error
            else:
                pause = self._pause_after(response, retry, attempt, time.monotonic() - start)
                if pause is None:
                    return response
            await self.runtime.sleep(pause)

    async def _asked_once(
        self, ask: Callable[..., httpx.Request], kind: Kind, at_most_s: float | None, start: float
    ) -> httpx.Response:
        lane = await self._turn(kind, _remaining_s(at_most_s, start))
        try:
            remaining_s = _remaining_s(at_most_s, start)
            request = ask(at_most_s=None if remaining_s is None else remaining_s + GRACE_S)
            response = await self.runtime.send(request, kind)
        finally:
            lane.give_back()
        self._heard_at = time.monotonic()
        return response

    async def _turn(self, kind: Kind, at_most_s: float | None) -> Lane:
        lane = self.runtime.lane(kind)
        if at_most_s is not None:
            await lane.take(at_most_s)
            return lane
        while True:
            began = time.monotonic()
            try:
                await lane.take(self.settings.timeout)
            except NoTurn:
                # Waiting is no sign of anything as long as those before are answered.
                if self._heard_at < began:
                    raise self._silent() from None
            else:
                return lane

    @staticmethod
    def _pause_after(
        response: httpx.Response, retry: RetryPolicy, attempt: int, elapsed_s: float
    ) -> float | None:
        if response.status_code not in REPEATED_CODES:
            return None
        return retry.pause(attempt, elapsed_s, at_least_s=retry_after_s(response) or 0.0)

    def _silent(self) -> ServiceUnreachableError:
        return ServiceUnreachableError(
            f"{self.settings.base_url} has not answered any of the calls before this one for "
            f"{self.settings.timeout} s. Check that the service runs, and base_url (or EZTHROTTLE_URL)."
        )

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


def _remaining_s(at_most_s: float | None, start: float) -> float | None:
    return None if at_most_s is None else max(at_most_s - (time.monotonic() - start), 0.0)
