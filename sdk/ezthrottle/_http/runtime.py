"""What operations need of the client that carries them through."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, Callable, Protocol, TypeVar, Union

import httpx

from ezthrottle._http.lanes import Kind, Lane

T = TypeVar("T")
AnyHttp = Union[httpx.Client, httpx.AsyncClient]


class Runtime(Protocol):
    """Connections, turns and time: of a client that blocks, or of one under asyncio."""

    def http(self, url: httpx.URL, kind: Kind) -> AnyHttp:
        """Return the httpx client for this address; raises EZThrottleError where none can be used."""

    def proxy_variable(self, url: httpx.URL) -> str | None:
        """Return the name of the variable whose proxy leads to the service at this address, or None."""

    def lane(self, kind: Kind) -> Lane:
        """Return where requests of this kind take their turns."""

    async def send(self, request: httpx.Request, kind: Kind) -> httpx.Response:
        """Send a request once, without following redirects; raises what httpx raises."""

    async def outcome_of(self, value: Any) -> Any:
        """Return what a function of the user's own returned, awaited where this client is awaited."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def in_order(
        self, work: Iterable[Coroutine[Any, Any, T]], at_once: int, take: Callable[[T], None]
    ) -> None:
        """Carry coroutines through, `at_once` of them together, and hand on their results in their order.

        No more of `work` is made than can be carried. Raises what the first of it that fails raises.
        """
