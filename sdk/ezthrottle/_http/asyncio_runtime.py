"""The runtime of the asyncio client: connections for each event loop that it is used under."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, Callable, TypeVar

import httpx

from ezthrottle._coroutines import outcome_of
from ezthrottle._http.asyncio_lane import AsyncioLane
from ezthrottle._http.blocking_runtime import CLOSED
from ezthrottle._http.clients import pooled_async_client
from ezthrottle._http.lanes import Kind, Lane
from ezthrottle._http.lent import Lent
from ezthrottle._http.ways import Clients
from ezthrottle._per_process import PerProcess
from ezthrottle.exceptions import EZThrottleError

T = TypeVar("T")

# How asyncio, uvloop and anyio word it.
_OF_ANOTHER_LOOP = ("event loop is closed", "different loop", "different event loop")


class _Connections:
    """What is open under one event loop, and is closed with it."""

    def __init__(self) -> None:
        self.lanes = {kind: AsyncioLane(kind.value) for kind in Kind}
        self.service = Clients(pooled_async_client)
        self.elsewhere = Clients(pooled_async_client)
        self._end = self._until_the_end()
        # Begun here, the generator is known to the loop, which ends it, as every other, before it closes.
        start = self._end.asend(None)
        with contextlib.suppress(StopIteration):
            start.send(None)

    def clients(self, kind: Kind) -> Clients[httpx.AsyncClient]:
        """Return those for this kind: what goes elsewhere shares no pool with calls to the service."""
        return self.elsewhere if kind is Kind.ELSEWHERE else self.service

    async def close(self) -> None:
        await self._end.aclose()

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            for http in (*self.service.made(), *self.elsewhere.made()):
                await http.aclose()


_ByLoop = dict[asyncio.AbstractEventLoop, _Connections]


class Awaited:
    """See `Runtime`; `given` is an httpx client of the user's own, which is used alone and left open.

    >>> results = []
    >>> await Awaited(None).in_order((work_of(number) for number in range(9)), 4, results.append)
    """

    def __init__(self, given: httpx.AsyncClient | None) -> None:
        self._lent = None if given is None else Lent(given)
        self._own: PerProcess[_ByLoop] = PerProcess(dict)
        self._closed = False

    def http(self, url: httpx.URL, kind: Kind) -> httpx.AsyncClient:
        """See `Runtime`."""
        if self._closed:
            raise EZThrottleError(CLOSED)
        return self._here().clients(kind).to(url) if self._lent is None else self._lent.get()

    def proxy_variable(self, url: httpx.URL) -> str | None:
        """See `Runtime`."""
        return None if self._lent is not None else self._here().service.variable_for(url)

    def lane(self, kind: Kind) -> Lane:
        """See `Runtime`."""
        return self._here().lanes[kind]

    async def send(self, request: httpx.Request, kind: Kind) -> httpx.Response:
        """See `Runtime`."""
        return await self.sent(request, kind, stream=False)

    async def sent(self, request: httpx.Request, kind: Kind, *, stream: bool) -> httpx.Response:
        """Send a request once; with `stream` the answer's body is yet to be read."""
        try:
            # auth=None: credentials of the caller's own httpx client must not replace the API key.
            return await self.http(request.url, kind).send(
                request, stream=stream, auth=None, follow_redirects=False
            )
        except RuntimeError as error:
            if self._lent is None or not any(words in str(error) for words in _OF_ANOTHER_LOOP):
                raise
            raise EZThrottleError(
                "The http_client was used under another event loop. Make it and the client under "
                "the one that runs now, or leave http_client out: a pool of its own follows the loop."
            ) from error

    async def outcome_of(self, value: Any) -> Any:
        """See `Runtime`."""
        return await outcome_of(value)

    async def sleep(self, seconds: float) -> None:
        """See `Runtime`."""
        await asyncio.sleep(seconds)

    async def in_order(
        self, work: Iterable[Coroutine[Any, Any, T]], at_once: int, take: Callable[[T], None]
    ) -> None:
        """See `Runtime`; the work is done in tasks."""
        waiting = deque[asyncio.Task[T]]()
        try:
            for each in work:
                waiting.append(asyncio.create_task(each))
                if len(waiting) == at_once:
                    take(await waiting.popleft())
            while waiting:
                take(await waiting.popleft())
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Close what is open of the client's own under the running loop."""
        self._closed = True
        here = self._own.get().pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.close()

    def _here(self) -> _Connections:
        loop, by_loop = asyncio.get_running_loop(), self._own.get()
        here = by_loop.get(loop)
        if here is None:
            for old in [each for each in list(by_loop) if each.is_closed()]:
                by_loop.pop(old, None)
            here = by_loop[loop] = _Connections()
        return here
