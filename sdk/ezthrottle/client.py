"""The two clients: `EZThrottle` blocks, `AsyncEZThrottle` is awaited."""

from __future__ import annotations

import copy
import functools
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from ezthrottle._calls.paths import job_path
from ezthrottle._calls.settings import Settings
from ezthrottle._coroutines import run
from ezthrottle._operations.auto_forward import auto_forward
from ezthrottle._operations.operations import Operations
from ezthrottle._receiving.addresses import DEFAULT_WEBHOOK_PORT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    import httpx
    from typing_extensions import Concatenate, ParamSpec, Self

    from ezthrottle._calls.events import JobEvent
    from ezthrottle._http.service import Service
    from ezthrottle._operations.operation import SubmitsJobs
    from ezthrottle.webhook import WebhookServer

    P = ParamSpec("P")

__all__ = ["AsyncEZThrottle", "EZThrottle", "auto_forward"]

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_ATTEMPTS = 5


class _Client:
    """What both clients hold."""

    def __init__(self, service: Service, named_url: str | None, ezthrottle_url: str | None) -> None:
        self.webhook_server: WebhookServer | None = None
        self._service = service
        self._named_url = named_url
        self._ezthrottle_url = ezthrottle_url
        self._stop_webhook_server = _nothing

    def __repr__(self) -> str:
        parts = urlsplit(self.base_url)
        shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        return f"<{type(self).__name__} of {shown}>"

    def __copy__(self) -> Self:
        # Of its own: a copy that is closed must not close this one.
        return copy.deepcopy(self)

    @property
    def api_key(self) -> str | None:
        """The key that goes along with every call; another one may be set."""
        return self._service.settings.api_key

    @api_key.setter
    def api_key(self, api_key: str | None) -> None:
        self._service.settings = self._service.settings.with_api_key(api_key)

    @property
    def base_url(self) -> str:
        """The service's address; another one may be set, under this name or as `tracktags_url`."""
        return self._service.settings.base_url

    @base_url.setter
    def base_url(self, url: str | None) -> None:
        self._move(url, self._ezthrottle_url)

    tracktags_url = base_url

    @property
    def ezthrottle_url(self) -> str:
        """What was given so, or else the service's address; it is called here if nothing else was named."""
        return self._ezthrottle_url or self.base_url

    @ezthrottle_url.setter
    def ezthrottle_url(self, url: str | None) -> None:
        self._move(self._named_url, url)

    def _move(self, named_url: str | None, ezthrottle_url: str | None) -> None:
        self._service.settings = self._service.settings.with_url(named_url, ezthrottle_url)
        self._named_url, self._ezthrottle_url = named_url, ezthrottle_url

    def _receive_webhooks(self, server: WebhookServer | None, start: bool, port: int) -> None:
        self.webhook_server = server
        if server is None and start:
            from ezthrottle.webhook import create_webhook_server  # noqa: PLC0415 - few clients need an HTTP server

            self.webhook_server = create_webhook_server(port=port, backend="auto")
            self.webhook_server.start()
            self._stop_webhook_server = self.webhook_server.stop


def _blocking(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Client, P], T]:
    @functools.wraps(operation)
    def method(self: _Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(operation(Operations(self._service, cast("SubmitsJobs", self)), *args, **kwargs))

    return method


def _awaited(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Client, P], Coroutine[Any, Any, T]]:
    @functools.wraps(operation)
    async def method(self: _Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await operation(Operations(self._service, cast("SubmitsJobs", self)), *args, **kwargs)

    return method


def _nothing() -> None:
    """Stop nothing: the webhook server, if any, is the caller's."""


class EZThrottle(_Client):
    """The blocking client. It may be shared by threads and by forked processes, each of which has connections
    of its own, kept open between calls; at most 50 to the service at once.

    `api_key` and `base_url` default to EZTHROTTLE_API_KEY and EZTHROTTLE_URL, and the latter to
    http://127.0.0.1:8080. `tracktags_url`, and after it `ezthrottle_url`, from the time when these were two
    servers, name the service where `base_url` does not. The addresses and the key may be set to others, for
    the calls from then on. `timeout` is the seconds of silence after which one attempt is given up, and the
    time in which a call is repeated, at most `max_attempts` times in all. `http_client` is used instead of
    a pool of the client's own and is left open. A `webhook_server`, or one started on `webhook_port` by
    `start_webhook_server`, runs the FRUGAL steps that follow a job.

    Raises ValueError for an address or a limit that cannot be meant. A method that calls the service blocks
    until it has answered, and raises, besides what it names: AuthenticationError, QuotaExceededError,
    ServiceUnavailableError or ServiceUnreachableError, or EZThrottleError where another server answers.

    >>> with EZThrottle(api_key="ck_live_cust_acme_secret") as client:
    ...     answer = client.submit_job("https://api.example.com/charge", method="POST", body="{}")
    ...     print(client.wait(answer["job_id"])["state"])
    success
    """

    def __init__(
        self,
        api_key: str | None = None,
        tracktags_url: str | None = None,
        ezthrottle_url: str | None = None,
        webhook_server: WebhookServer | None = None,
        start_webhook_server: bool = False,
        webhook_port: int = DEFAULT_WEBHOOK_PORT,
        *,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        max_attempts: int = DEFAULT_ATTEMPTS,
        http_client: httpx.Client | None = None,
    ) -> None:
        from ezthrottle._http.blocking_runtime import Blocking  # noqa: PLC0415 - httpx takes longer to load than all the rest
        from ezthrottle._http.service import Service  # noqa: PLC0415 - the same

        settings = Settings.of(api_key, (base_url, tracktags_url, ezthrottle_url), timeout, max_attempts)
        self._runtime = Blocking(http_client)
        super().__init__(Service(self._runtime, settings), base_url or tracktags_url, ezthrottle_url)
        self._receive_webhooks(webhook_server, start_webhook_server, webhook_port)

    submit_job = _blocking(Operations.submit_job)
    request = _blocking(Operations.request)
    queue_request = _blocking(Operations.queue_request)
    queue_and_wait = _blocking(Operations.queue_and_wait)
    get_job = _blocking(Operations.get_job)
    wait = _blocking(Operations.wait)
    submit_many = _blocking(Operations.submit_many)
    list_jobs = _blocking(Operations.list_jobs)
    cancel = _blocking(Operations.cancel)
    cancel_jobs = _blocking(Operations.cancel_jobs)
    replay_jobs = _blocking(Operations.replay_jobs)
    replay = _blocking(Operations.replay)
    redeliver = _blocking(Operations.redeliver)
    list_pending_webhooks = _blocking(Operations.list_pending_webhooks)
    list_dead_webhooks = _blocking(Operations.list_dead_webhooks)
    redeliver_webhooks = _blocking(Operations.redeliver_webhooks)
    usage = _blocking(Operations.usage)
    regions = _blocking(Operations.regions)
    domains = _blocking(Operations.domains)
    create_webhook_secret = _blocking(Operations.create_webhook_secret)
    get_webhook_secret = _blocking(Operations.get_webhook_secret)
    delete_webhook_secret = _blocking(Operations.delete_webhook_secret)
    rotate_webhook_secret = _blocking(Operations.rotate_webhook_secret)
    forward_or_fallback = _blocking(Operations.forward_or_fallback)
    call = _blocking(Operations.call)

    def stream(self, job_id: str, timeout: float | None = None) -> Iterator[JobEvent]:
        """Yield what happens to the job as it happens, from its beginning to its end.

        A dropped connection is made anew, and goes on after the last event. `timeout` is in seconds, for the
        whole stream. Raises ezthrottle.TimeoutError, after which the job goes on, ServiceUnreachableError
        where the service stays away, or NotFoundError.
        """
        from ezthrottle._operations.streams import follow  # noqa: PLC0415 - loads httpx, as the client has by now

        return follow(self._service, self._runtime, f"{job_path(job_id)}/stream", timeout)

    def close(self) -> None:
        """Close the client's own connections, and the webhook server that it started."""
        self._stop_webhook_server()
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncEZThrottle(_Client):
    """The asyncio client: the arguments and methods of `EZThrottle`, awaited.

    Under each event loop it has connections of its own, which are closed with the loop. A fallback given to
    `forward_or_fallback` may be a coroutine function.

    >>> async with AsyncEZThrottle(api_key="ck_live_cust_acme_secret") as client:
    ...     answer = await client.submit_job("https://api.example.com/charge", method="POST", body="{}")
    ...     print((await client.wait(answer["job_id"]))["state"])
    success
    """

    def __init__(
        self,
        api_key: str | None = None,
        tracktags_url: str | None = None,
        ezthrottle_url: str | None = None,
        webhook_server: WebhookServer | None = None,
        start_webhook_server: bool = False,
        webhook_port: int = DEFAULT_WEBHOOK_PORT,
        *,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        max_attempts: int = DEFAULT_ATTEMPTS,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        from ezthrottle._http.asyncio_runtime import Awaited  # noqa: PLC0415 - as in EZThrottle
        from ezthrottle._http.service import Service  # noqa: PLC0415 - as in EZThrottle

        settings = Settings.of(api_key, (base_url, tracktags_url, ezthrottle_url), timeout, max_attempts)
        self._runtime = Awaited(http_client)
        super().__init__(Service(self._runtime, settings), base_url or tracktags_url, ezthrottle_url)
        self._receive_webhooks(webhook_server, start_webhook_server, webhook_port)

    submit_job = _awaited(Operations.submit_job)
    request = _awaited(Operations.request)
    queue_request = _awaited(Operations.queue_request)
    queue_and_wait = _awaited(Operations.queue_and_wait)
    get_job = _awaited(Operations.get_job)
    wait = _awaited(Operations.wait)
    submit_many = _awaited(Operations.submit_many)
    list_jobs = _awaited(Operations.list_jobs)
    cancel = _awaited(Operations.cancel)
    cancel_jobs = _awaited(Operations.cancel_jobs)
    replay_jobs = _awaited(Operations.replay_jobs)
    replay = _awaited(Operations.replay)
    redeliver = _awaited(Operations.redeliver)
    list_pending_webhooks = _awaited(Operations.list_pending_webhooks)
    list_dead_webhooks = _awaited(Operations.list_dead_webhooks)
    redeliver_webhooks = _awaited(Operations.redeliver_webhooks)
    usage = _awaited(Operations.usage)
    regions = _awaited(Operations.regions)
    domains = _awaited(Operations.domains)
    create_webhook_secret = _awaited(Operations.create_webhook_secret)
    get_webhook_secret = _awaited(Operations.get_webhook_secret)
    delete_webhook_secret = _awaited(Operations.delete_webhook_secret)
    rotate_webhook_secret = _awaited(Operations.rotate_webhook_secret)
    forward_or_fallback = _awaited(Operations.forward_or_fallback)
    call = _awaited(Operations.call)

    def stream(self, job_id: str, timeout: float | None = None) -> AsyncIterator[JobEvent]:
        """Yield what happens to the job as it happens, as `EZThrottle.stream` does: use `async for`."""
        from ezthrottle._operations.streams import follow_async  # noqa: PLC0415 - as in EZThrottle

        return follow_async(self._service, self._runtime, f"{job_path(job_id)}/stream", timeout)

    async def close(self) -> None:
        """Close the client's own connections, and the webhook server that it started."""
        self._stop_webhook_server()
        await self._runtime.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
