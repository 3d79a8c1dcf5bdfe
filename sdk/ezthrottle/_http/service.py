"""One call to the service: authorised, bounded in time, repeated where that is safe."""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import Any, Callable, TypeVar, cast

import httpx

from ezthrottle._calls.answers import object_in, retry_after_s
from ezthrottle._calls.call import Call
from ezthrottle._calls.retry import RetryPolicy
from ezthrottle._calls.settings import Settings
from ezthrottle._http.clients import time_limits
from ezthrottle._http.lanes import Kind, Lane, NoTurn
from ezthrottle._http.runtime import Runtime
from ezthrottle.exceptions import ServiceUnreachableError

T = TypeVar("T")

# A gateway's or a starting service's way of saying that the call did not arrive or was not taken.
REPEATED_CODES = frozenset({502, 503, 504})

# An answer that was sent at the last moment is yet to arrive.
GRACE_S = 1.0

_ONCE = RetryPolicy(max_attempts=1)
# What is said of a server that does not speak TLS.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class Service:
    """The HTTP side of a client, blocking or asyncio according to `runtime`.

    >>> run(Service(Blocking(None), settings).call(Call("GET", "/api/v1/jobs/job_1_2")))
    """

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self.runtime = runtime
        self.retry = RetryPolicy(settings.max_attempts, settings.timeout)
        self.settings = settings
        self._heard_at = 0.0

    def request(
        self, call: Call[Any], *, kind: Kind = Kind.CALL, at_most_s: float | None = None
    ) -> httpx.Request:
        """Return the request for a call, authorised and bounded in time."""
        limit_s = self.settings.timeout + call.extra_s
        url = httpx.URL(self.settings.base_url + call.path)
        return self.runtime.http(url, kind).build_request(
            call.method,
            url,
            params=call.params,
            json=call.json,
            content=call.content,
            headers={"Authorization": self.settings.bearer(), **call.headers},
            timeout=time_limits(limit_s if at_most_s is None else min(limit_s, at_most_s)),
        )

    async def call(self, call: Call[T], *, kind: Kind = Kind.CALL, at_most_s: float | None = None) -> T:
        """Make the call and return the JSON object of its answer.

        It is over after `at_most_s` seconds, repetitions and all, give or take a second for an answer on
        its way. Raises an EZThrottleError for every answer that is neither 2xx nor accepted, and for none;
        NoTurn where it was not even asked in that time.
        """
        retry = self.retry if call.repeatable else _ONCE
        if at_most_s is not None:
            retry = retry.within(at_most_s)
        response = await self._answered(partial(self.request, call, kind=kind), kind, retry, at_most_s)
        proxy = self.runtime.proxy_variable(response.request.url)
        return cast("T", object_in(response, call.accepted, call.expects, proxy))

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
                pause = None if is_lasting(error) else retry.pause(attempt, time.monotonic() - start)
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
        variable = self.runtime.proxy_variable(httpx.URL(self.settings.base_url))
        through = f" through the proxy of {variable}" if variable else ""
        remedy = "Check that the service runs, and base_url (or EZTHROTTLE_URL)"
        if is_lasting(error):
            remedy = (
                "Have SSL_CERT_FILE name the certificates to trust, or check base_url (or EZTHROTTLE_URL)"
            )
        elif variable:
            remedy += f", or add the host to NO_PROXY if {variable} is not meant for it"
        return ServiceUnreachableError(
            f"No answer from {self.settings.base_url}{through} in {attempts} attempt(s): "
            f"{str(error) or type(error).__name__}. {remedy}."
        )


def is_lasting(error: BaseException) -> bool:
    """Whether repeating is of no use: the certificate is not accepted, or there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return True
        # httpcore raises its errors "from None".
        cause = cause.__cause__ or cause.__context__
    return False


def is_silence(error: ServiceUnreachableError) -> bool:
    """Whether there may be a service, which only did not answer in time."""
    return isinstance(error.__cause__, httpx.TimeoutException)


def _remaining_s(at_most_s: float | None, start: float) -> float | None:
    return None if at_most_s is None else max(at_most_s - (time.monotonic() - start), 0.0)
