"""The runtime of the blocking client: its coroutines never suspend, and may run in many threads at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, Callable, TypeVar

import httpx

from ezthrottle._coroutines import run
from ezthrottle._http.clients import pooled_client
from ezthrottle._http.lanes import BlockingLane, Kind, Lane
from ezthrottle._http.lent import Lent
from ezthrottle._http.ways import Clients
from ezthrottle._per_process import PerProcess
from ezthrottle.exceptions import EZThrottleError

T = TypeVar("T")

CLOSED = "The client is closed. Make another one, or close it later."


class _Connections:
    """What one process has open."""

    def __init__(self) -> None:
        self.lanes = {kind: BlockingLane(kind.value) for kind in Kind}
        self.service = Clients(pooled_client)
        self.elsewhere = Clients(pooled_client)

    def clients(self, kind: Kind) -> Clients[httpx.Client]:
        """Return those for this kind: what goes elsewhere shares no pool with calls to the service."""
        return self.elsewhere if kind is Kind.ELSEWHERE else self.service

    def close(self) -> None:
        for http in (*self.service.made(), *self.elsewhere.made()):
            http.close()


class Blocking:
    """See `Runtime`; `given` is an httpx client of the user's own, which is used alone and left open.

    >>> results = []
    >>> run(Blocking(None).in_order((work_of(number) for number in range(9)), 4, results.append))
    """

    def __init__(self, given: httpx.Client | None) -> None:
        self._lent = None if given is None else Lent(given)
        self._own = PerProcess(_Connections)
        self._closed = False

    def http(self, url: httpx.URL, kind: Kind) -> httpx.Client:
        """See `Runtime`."""
        if self._closed:
            raise EZThrottleError(CLOSED)
        return self._own.get().clients(kind).to(url) if self._lent is None else self._lent.get()

    def proxy_variable(self, url: httpx.URL) -> str | None:
        """See `Runtime`."""
        return None if self._lent is not None else self._own.get().service.variable_for(url)

    def lane(self, kind: Kind) -> Lane:
        """See `Runtime`."""
        return self._own.get().lanes[kind]

    async def send(self, request: httpx.Request, kind: Kind) -> httpx.Response:
        """See `Runtime`."""
        return self.sent(request, kind, stream=False)

    def sent(self, request: httpx.Request, kind: Kind, *, stream: bool) -> httpx.Response:
        """Send a request once; with `stream` the answer's body is yet to be read."""
        # auth=None: credentials of the caller's own httpx client must not replace the API key.
        return self.http(request.url, kind).send(request, stream=stream, auth=None, follow_redirects=False)

    async def outcome_of(self, value: Any) -> Any:
        """See `Runtime`."""
        return value

    async def sleep(self, seconds: float) -> None:
        """See `Runtime`."""
        time.sleep(seconds)  # noqa: ASYNC251 - this client blocks

    async def in_order(
        self, work: Iterable[Coroutine[Any, Any, T]], at_once: int, take: Callable[[T], None]
    ) -> None:
        """See `Runtime`; the work is done in threads, and `take` is called on the calling one."""
        from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415 - few programs need threads

        waiting = deque[Future[T]]()
        with ThreadPoolExecutor(at_once) as pool:
            for each in work:
                waiting.append(pool.submit(run, each))
                if len(waiting) == at_once:
                    take(waiting.popleft().result())
            for future in waiting:
                take(future.result())

    def close(self) -> None:
        """Close what this process has open of the client's own."""
        self._closed = True
        if self._lent is None:
            self._own.get().close()
