"""Operations that are written once, for the blocking and for the asyncio client.

A flow is a generator. It yields what is to be done, as a callable without arguments, and is resumed with
the outcome or with the exception. `run` calls it and blocks; `run_async` awaits what the call returns.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Awaitable, Generator, Iterable
from contextlib import closing
from typing import Any, Callable, Protocol, TypeVar, cast

T = TypeVar("T")
Flow = Generator[Callable[[], Any], Any, T]


def run(flow: Flow[T]) -> T:
    """Carry a flow through on the calling thread, and return its result."""
    with closing(flow):
        try:
            action = next(flow)
            while True:
                try:
                    outcome = action()
                except Exception as error:  # noqa: BLE001, PERF203 - the flow decides, and has few turns
                    action = flow.throw(error)
                else:
                    action = flow.send(outcome)
        except StopIteration as end:
            return cast("T", end.value)


async def run_async(flow: Flow[T]) -> T:
    """Carry a flow through on the running event loop, and return its result."""
    with closing(flow):
        try:
            action = next(flow)
            while True:
                try:
                    outcome = action()
                    if inspect.isawaitable(outcome):
                        outcome = await outcome
                except Exception as error:  # noqa: BLE001, PERF203 - the flow decides, and has few turns
                    action = flow.throw(error)
                else:
                    action = flow.send(outcome)
        except StopIteration as end:
            return cast("T", end.value)


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function that blocks, without holding up the event loop."""
    import asyncio  # noqa: PLC0415 - loads slower than this whole package

    return await asyncio.to_thread(function, *args, **kwargs)


class Runtime(Protocol):
    """What a flow needs of the client that carries it through; the results may have to be awaited."""

    def sleep(self, seconds: float) -> Awaitable[None] | None:
        """Wait."""

    def in_order(
        self, flows: Iterable[Flow[T]], at_once: int, take: Callable[[T], None]
    ) -> Awaitable[None] | None:
        """Carry flows through, `at_once` of them together, and hand on their results in their order.

        No more of `flows` is made than can be carried. Raises what the first of them that fails raises.
        """


class Blocking:
    """The runtime of a client that blocks; flows run in threads.

    >>> results = []
    >>> Blocking().in_order((flow_of(number) for number in range(9)), 4, results.append)
    """

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def in_order(self, flows: Iterable[Flow[T]], at_once: int, take: Callable[[T], None]) -> None:
        """See `Runtime`; `take` is called on the calling thread."""
        from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415 - few programs need threads

        waiting = deque[Future[T]]()
        with ThreadPoolExecutor(at_once) as pool:
            for flow in flows:
                if len(waiting) == at_once:
                    take(waiting.popleft().result())
                waiting.append(pool.submit(run, flow))
            for future in waiting:
                take(future.result())


class Awaited:
    """The runtime of an asyncio client; flows run as tasks.

    >>> await Awaited().in_order((flow_of(number) for number in range(9)), 4, results.append)
    """

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        import asyncio  # noqa: PLC0415 - loads slower than this whole package

        await asyncio.sleep(seconds)

    async def in_order(self, flows: Iterable[Flow[T]], at_once: int, take: Callable[[T], None]) -> None:
        """See `Runtime`."""
        import asyncio  # noqa: PLC0415 - as above

        waiting = deque[asyncio.Task[T]]()
        try:
            for flow in flows:
                if len(waiting) == at_once:
                    take(await waiting.popleft())
                waiting.append(asyncio.create_task(run_async(flow)))
            while waiting:
                take(await waiting.popleft())
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
