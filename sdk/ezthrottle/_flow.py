"""Operations that are written once, for the blocking and for the asyncio client.

A flow is a generator. It yields what is to be done, as a callable without arguments, and is resumed with
the outcome or with the exception. `run` calls it and blocks; `run_async` awaits what the call returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import closing
from typing import Any, Callable, TypeVar, cast

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
